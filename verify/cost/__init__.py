"""What a .tflite file costs: operators, arithmetic and memory by module, and time and dispatches measured."""
