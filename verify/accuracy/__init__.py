"""Compares a detector with something from outside this project: the user's own detections, or an annotated data set."""

DEFAULT_SIZE = 200
"""Pictures of a data set that are used unless stated otherwise."""
