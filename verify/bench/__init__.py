"""Measures a detector end to end as a user feels it: from the file of a picture to detections, stage by stage.

A contender is anything that turns a picture into detections: a bundle on the CPU or a GPU, PyTorch, an ONNX file. All of them
read, resize and normalise a picture with ``host_runtime``, and decode with it, so that they differ only in what is between.
Contenders run in turns in one process, in a random order that a seed fixes (``interleave``), and are compared by a ratio of
medians with its bootstrap interval (``ratio``).
"""
