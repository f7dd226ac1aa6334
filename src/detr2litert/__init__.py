"""Compiles trained DETR detectors into verified bundles of LiteRT graphs.

The rooms of the repository's top level are linked here under the name that they are installed by.
"""
