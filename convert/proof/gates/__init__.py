"""The gates, one per file; ``convert.proof.registry`` lists them in the order in which they run."""
