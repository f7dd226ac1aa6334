"""Predictions on whatever a user has: pictures, folders, arrays, films and cameras; and what can be made of them."""
