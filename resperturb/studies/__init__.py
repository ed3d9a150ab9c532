"""Experiments beyond the paper, one a module: what it asks, how it is conducted, what it leaves."""
