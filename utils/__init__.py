"""What the notebooks share: every function that is used twice, or that could be wrong, and has a test."""
