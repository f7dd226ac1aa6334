"""Tools of the repository, not needed by users: they are run from its root and are not installed."""
