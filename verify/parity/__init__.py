"""How far a bundle differs from PyTorch: metrics, the gates that apply limits, and the search for the first difference."""
