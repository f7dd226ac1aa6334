"""The project's own probe suite: small models that show what a runtime's GPU delegate takes, refuses and gets wrong."""
