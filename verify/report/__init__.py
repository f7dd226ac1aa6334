"""The results of the gates, as JSON and as an HTML page."""
