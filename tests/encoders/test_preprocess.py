"""From a clip to the samples that a speech model is given."""

from __future__ import annotations

import numpy as np
import pytest

from mister_e.audio.format import SAMPLE_RATE
from mister_e.conversation import Clip
from mister_e.encoders.speech.preprocess import sound_of


class Highest:
    """Draws the highest number that may be drawn."""

    def __init__(self) -> None:
        self.bounds: list[int] = []

    def integers(self, bound: int) -> int:
        self.bounds.append(bound)
        return bound - 1


@pytest.mark.parametrize("extra", [0, 1, 500])
def test_a_crop_may_lie_anywhere_in_the_sound(extra):
    ramp = np.linspace(0.5, 1.0, SAMPLE_RATE + extra, dtype=np.float32)
    whole = sound_of(Clip(samples=ramp))
    random = Highest()
    last = sound_of(Clip(samples=ramp), crop_seconds=1.0, random=random)
    np.testing.assert_array_equal(last, whole[extra:])
    assert random.bounds == ([extra + 1] if extra else [])
    np.testing.assert_array_equal(sound_of(Clip(samples=ramp), crop_seconds=1.0), whole)
