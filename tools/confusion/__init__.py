"""How often the lint is right about ordinary modules: converted by litert-torch as they are, and run on the delegate."""
