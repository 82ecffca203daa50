"""Where a recording is cut into turns: at pauses, where sentences end, and where the voice changes."""
