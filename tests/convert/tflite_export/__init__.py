"""Tests of the export of a backbone as a .tflite file."""
