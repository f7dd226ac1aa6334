"""Trains and evaluates the demo detectors in convert/demo."""
