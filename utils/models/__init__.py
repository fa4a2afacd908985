"""What computes? Models, attention, adapters, memory needs, the hub."""
