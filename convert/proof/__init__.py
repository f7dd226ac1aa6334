"""Verifies a bundle with PyTorch as the reference: the gates that need the compiler, and the record of a run."""
