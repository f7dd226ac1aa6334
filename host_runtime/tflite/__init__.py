"""Reads, edits and writes .tflite files with the schema that ships with ai-edge-litert."""
