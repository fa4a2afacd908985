"""What machine and what user? Errors, files, places, hardware."""
