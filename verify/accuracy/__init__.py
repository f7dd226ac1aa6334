"""Compares a detector with something from outside this project: the user's own detections, or an annotated data set."""
