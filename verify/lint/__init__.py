"""The table of what the delegate refuses and computes wrong, and the gate that checks files against it."""
