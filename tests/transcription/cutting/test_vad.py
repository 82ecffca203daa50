"""Voice activity detection: what is in a recording beside speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mister_e.audio import blocks
from mister_e.audio.format import SAMPLE_RATE
from mister_e.transcription.cutting.vad import TurnCutter

SAMPLE = Path(__file__).parents[3] / "samples" / "conversation.flac"


@pytest.mark.parametrize("offset", [0.05, -0.5])
def test_an_offset_hides_no_speech(offset):
    sound = np.concatenate(list(blocks(SAMPLE)), axis=1)[0, : 21 * SAMPLE_RATE]

    def turns(samples):
        cutter = TurnCutter()
        return [(turn.start, turn.end) for turn in cutter.push(samples) + cutter.finish()]

    found = turns(sound + np.float32(offset))
    assert np.abs(np.subtract(found, turns(sound))).max() < 0.1
