"""The embedded demo detectors: their weights, and the scenes they know."""
