"""Exports the reference detector to an ONNX file, and checks the file against PyTorch."""
