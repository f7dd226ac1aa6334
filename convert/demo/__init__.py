"""The embedded demo detector: its scenes, its training and its evaluation."""
