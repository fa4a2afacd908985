"""How fast, and in how much memory? The table is `python -m benchmarks.speed`; equal_data and gpu stand alone."""
