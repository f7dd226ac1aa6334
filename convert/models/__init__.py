"""Detectors: their variants, the checkpoints with their weights, and the PyTorch reference built from both."""
