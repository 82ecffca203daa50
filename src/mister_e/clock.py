"""Times as people write them."""

from __future__ import annotations


def clock(seconds: float) -> str:
    """Time as m:ss, or h:mm:ss from an hour on; a begun second does not count, as in a player."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
