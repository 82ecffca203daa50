"""The audio format inside this package: mono float32 at 16 kHz."""

from __future__ import annotations

#: Every piece of audio inside this package is mono float32 in [-1, 1] at this rate, in Hz.
SAMPLE_RATE = 16_000

#: Longest turn in seconds: the window of Whisper, the encoder with the shortest limit.
LONGEST = 30.0
