import numpy as np
import pytest

from mister_e.transcription.cutting.voices import OVERLAP_RATE, VoiceMarks


def marks(overlap: list[float]) -> VoiceMarks:
    nothing = np.zeros(0, np.float32)
    return VoiceMarks(nothing, nothing, np.array(overlap, np.float32))


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(0.0, 0.4, 0.5), (0.0, 0.2, 0.0), (0.2, 0.4, 1.0), (0.21, 0.22, 1.0), (-1.0, 9.0, 0.5), (3.0, 4.0, 0.0)],
)
def test_the_overlap_of_a_span_is_the_mean_of_its_tenths(start, end, expected):
    assert OVERLAP_RATE == 10
    assert marks([0.0, 0.0, 1.0, 1.0]).overlapped(start, end) == pytest.approx(expected)


def test_a_stretch_without_sound_overlaps_nowhere():
    assert marks([]).overlapped(0.0, 1.0) == 0.0
