"""What is known of each operator of a .tflite file, as node data of Model Explorer: origin, range, error, dispatches."""
