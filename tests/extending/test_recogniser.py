"""CONTRIBUTING, "A recogniser": one of two languages, whose words are how long a turn is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mister_e import Pipeline
from mister_e.audio.format import SAMPLE_RATE
from mister_e.errors import InputError
from mister_e.transcription.asr import Recogniser

pytestmark = pytest.mark.slow
SAMPLE = Path(__file__).parents[2] / "samples" / "conversation.flac"
WORDS = {"en": "seconds", "de": "Sekunden"}
asked: list[str] = []


def length_recogniser(language: str) -> Recogniser:
    asked.append(language)
    if language not in WORDS:
        raise InputError(f"language {language!r}: this recogniser knows {', '.join(WORDS)}")

    def recognise(turns: Sequence[NDArray[np.float32]], /) -> list[str | None]:
        seconds = [len(samples) / SAMPLE_RATE for samples in turns]
        return [f"{length:.1f} {WORDS[language]}" if length > 2 else None for length in seconds]

    return recognise


def test_a_new_recogniser_gives_the_words():
    pipeline = Pipeline.from_pretrained("mini", recogniser=length_recogniser)
    assert asked == []  # nothing to recognise yet
    analysis = pipeline(SAMPLE, language="de")
    turns = list(analysis)
    assert asked == ["de"]
    assert len(turns) > 5
    for turn in turns:
        length = turn.end - turn.start
        if turn.text is None:
            assert length < 2.1
            assert turn.missing == ("text",)
        else:
            assert turn.text.endswith(" Sekunden")
            assert float(turn.text.split()[0]) == pytest.approx(length, abs=0.1)
    with pytest.raises(InputError, match="this recogniser knows en, de"):
        pipeline(SAMPLE, language="fr")
