"""The bundled demo detectors: their weights, and the scenes they are trained on."""
