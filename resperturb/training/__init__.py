"""Training: the loop, the data, the precision."""
