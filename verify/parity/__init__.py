"""How far a bundle is from PyTorch: metrics, the gates that hold them to limits, and where they first go wrong."""
