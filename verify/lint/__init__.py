"""What the delegate refuses and gets wrong, as data, and the gate that holds files against it."""
