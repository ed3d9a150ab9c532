"""Perturbations during training: a logger for any loop, and callbacks for Lightning and Hugging Face."""
