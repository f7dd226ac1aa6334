"""How the demo detectors in convert/demo were trained, and how they are judged."""
