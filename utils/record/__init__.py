"""What was done? Runs, adapters, predictions, provenance, cards."""
