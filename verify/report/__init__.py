"""What the gates said, as JSON and as a page."""
