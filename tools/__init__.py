"""Tools of the repository, which no user needs: they are run from its root and are not installed."""
