"""Speech to one embedding a turn."""
