"""What was said? Labels, conversations, splits, sources."""
