"""Networks: residual networks of any depth, a transformer, and networks of others by name."""
