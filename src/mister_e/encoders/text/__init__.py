"""Text to one embedding a turn."""
