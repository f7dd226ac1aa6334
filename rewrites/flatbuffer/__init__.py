"""Fix-ups of converted .tflite files: changes that the converter's canonicalisation would undo in the graph."""
