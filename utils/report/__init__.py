"""How good is it? Scores, tables, pictures, error analysis."""
