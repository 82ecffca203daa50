"""Recognition: batches of turns, and one result for each."""

from __future__ import annotations

import numpy as np
import pytest

from mister_e.audio.format import SAMPLE_RATE
from mister_e.errors import InputError
from mister_e.transcription.asr import Recognised
from mister_e.transcription.cuts.turns import transcribe_cuts
from mister_e.transcription.recognition import groups, recognise


@pytest.mark.parametrize(
    ("lengths", "sizes"), [([], []), ([1.0] * 33, [16, 16, 1]), ([50.0, 50, 30, 1, 200, 1], [3, 2, 1])]
)
def test_groups_are_of_few_turns_and_short(lengths, sizes):
    found = list(groups(lengths, float))
    assert [len(group) for group in found] == sizes
    assert [length for group in found for length in group] == lengths


def test_text_alone_is_words():
    results = ["one", None, Recognised("two", 0.9)]
    found = recognise(lambda turns: results, [np.zeros(4, np.float32)] * 3)
    assert found == [Recognised("one"), None, Recognised("two", 0.9)]


def test_a_recogniser_without_turns_is_not_asked():
    assert recognise(lambda turns: ["one"], []) == []


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_recogniser_that_gives_another_number_of_results(tmp_path, count):
    message = rf"the recogniser gave {count} results for 2 turns; it has to give one for each"
    with pytest.raises(InputError, match=message):
        recognise(lambda turns: ["w"] * count, [np.zeros(4, np.float32)] * 2)
    path = tmp_path / "a.json"
    path.write_text('[{"start": 0, "end": 1}, {"start": 2, "end": 3}]', encoding="utf-8")
    sound = np.zeros((1, 4 * SAMPLE_RATE), np.float32)
    with pytest.raises(InputError, match=message):
        list(transcribe_cuts([sound], path, recogniser=lambda turns: ["w"] * count))
