"""What sound is everywhere inside this package."""

from __future__ import annotations

#: Every piece of audio inside this package is mono float32 in [-1, 1] at this rate, in Hz.
SAMPLE_RATE = 16_000


#: Longest turn in seconds: what the speech encoder hears at once.
LONGEST = 30.0
