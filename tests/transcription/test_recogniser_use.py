"""The pipeline's recogniser: any may be given, and Whisper is loaded only to recognise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mister_e import Conversation, Pipeline, Utterance
from mister_e.errors import InputError
from mister_e.transcription import Recogniser
from mister_e.transcription.asr import load_whisper

SAMPLE = Path(__file__).parents[2] / "samples" / "conversation.flac"


def hear_rain(turns: Sequence[np.ndarray]) -> list[str | None]:
    return [f"Rain for {len(turn)} samples." if number % 2 else None for number, turn in enumerate(turns)]


def test_a_recogniser_is_made_once_a_language_and_gives_the_words():
    languages: list[str] = []

    def make(language: str) -> Recogniser:
        if language == "tlh":
            raise InputError("language 'tlh': nobody speaks it here")
        languages.append(language)
        return hear_rain

    pipeline = Pipeline.from_pretrained("mini", recogniser=make)
    words = Conversation("words", (Utterance("t1", "Hello"),))
    pipeline(words)
    pipeline(SAMPLE, asr=False)
    pipeline(SAMPLE, transcript=SAMPLE.with_suffix(".srt"))
    assert languages == []
    for _ in range(2):
        turns = list(pipeline(SAMPLE, language="de"))
        assert languages == ["de"]
        assert [turn.text is not None for turn in turns] == [number % 2 == 1 for number in range(len(turns))]
        assert all(turn.text.startswith("Rain for ") for turn in turns[1::2])
    with pytest.raises(InputError, match="nobody speaks it"):
        pipeline(SAMPLE, language="tlh")


def test_whisper_is_loaded_once_and_only_to_recognise(monkeypatch):
    loaded: list[object] = []

    def load() -> object:
        loaded.append(load_whisper())
        return loaded[-1]

    monkeypatch.setattr("mister_e.transcription.asr.load_whisper", load)
    pipeline = Pipeline.from_pretrained("mini")
    pipeline(SAMPLE.with_suffix(".srt"))
    pipeline(SAMPLE, transcript=SAMPLE.with_suffix(".srt"))
    pipeline(SAMPLE, asr=False)
    assert loaded == []
    first, again = pipeline(SAMPLE), pipeline(SAMPLE)
    assert first == again
    assert len(loaded) == 1
