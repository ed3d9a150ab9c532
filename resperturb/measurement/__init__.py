"""The measurement: every residual addition of a model, found and measured in one forward pass."""
