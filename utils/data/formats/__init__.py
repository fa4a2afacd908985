"""How do the publishers of corpora write them? A function a format, path -> conversations as JSON has them."""
