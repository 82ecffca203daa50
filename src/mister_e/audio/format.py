"""The audio format inside this package: mono float32 at 16 kHz."""

from __future__ import annotations

from typing import Literal

#: Every piece of audio inside this package is mono float32 in [-1, 1] at this rate, in Hz.
SAMPLE_RATE = 16_000

#: Longest turn in seconds: the window of Whisper, the encoder with the shortest limit.
LONGEST = 30.0

#: Sample rates (Hz) that sound is recorded with: below, and far above, a header is broken.
MIN_RATE, MAX_RATE = 1_000, 768_000

#: What becomes of several channels: their mean, or each by itself.
Channels = Literal["mix", "split"]
