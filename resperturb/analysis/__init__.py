"""What records say: averages, fits over depth, tables. Nothing here needs PyTorch."""
