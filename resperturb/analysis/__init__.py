"""Averages, fits over depth and tables, computed from records without PyTorch."""
