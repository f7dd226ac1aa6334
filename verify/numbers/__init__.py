"""Compares what the delegate computes with the CPU, for any .tflite file: no rule, no reference of ours, only numbers."""
