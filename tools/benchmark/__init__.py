"""Measures the cost of a conversion and the speed of its bundle, and writes the README's tables."""
