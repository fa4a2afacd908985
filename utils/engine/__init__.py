"""How is it asked and taught? Trees, rows, scores, the trainer. Knows no emotion and no conversation."""
