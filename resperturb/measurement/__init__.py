"""The measurement: find and measure every residual addition of a model in one forward pass."""
