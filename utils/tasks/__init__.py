"""What is asked, and how is it read? Emotion, cause, baselines."""
