"""The real GPU delegate, in a child process, and the drivers that let it run on any machine."""
