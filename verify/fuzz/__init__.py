"""Feeds the lint: random small graphs on the delegate and the CPU, and the smallest form of what no rule knows."""
