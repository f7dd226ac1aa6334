"""The project's probe suite: small models that show what a runtime's GPU delegate accepts, refuses and computes wrong."""
