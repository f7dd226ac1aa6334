"""Checkpoints of the original projects, described as data, with the detections that the original code gave for them."""
