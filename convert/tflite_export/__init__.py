"""A detector's backbone as one .tflite file, for a program that has a head of its own."""
