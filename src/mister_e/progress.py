"""The progress hook: the library tells how far it is, and never prints."""

from __future__ import annotations

from collections.abc import Callable

#: Called with (stage, done, total): stages by name, done and total in the stage's own unit
#: (seconds of audio or turns). A total of 0 means that it is not known.
Progress = Callable[[str, float, float], None]

#: The stage that announces an input: done is its number, from 1, total the number of inputs.
INPUT = "input"


def silent(stage: str, done: float, total: float) -> None:
    """Report nothing."""
