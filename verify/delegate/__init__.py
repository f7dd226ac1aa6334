"""Runs the real GPU delegate in a child process, and provides drivers with which it runs on any machine."""
