"""Lowers a rewritten part of the detector to a .tflite file, through the back end of litert-torch."""
