"""What is conducted: one run, the studies beyond it, and the plan of all runs of a preset."""
