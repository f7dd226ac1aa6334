"""Fix-ups of converted .tflite files: what the converter's own canonicalisation undoes if it is written into the graph."""
