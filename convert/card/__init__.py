"""Model cards: what a bundle is, how it runs and what was measured of it, as the page of a model hub."""
