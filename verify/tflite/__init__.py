"""Reading, tapping and writing .tflite files."""
