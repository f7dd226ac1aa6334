"""A .tflite file: opened, looked at, changed and written, all on the schema that ships with ai-edge-litert."""
