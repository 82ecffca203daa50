"""The pipeline's recogniser: any may be given, and Whisper is loaded only to recognise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mister_e import Conversation, Pipeline, Utterance
from mister_e.conversation import NO_WORDS
from mister_e.errors import InputError
from mister_e.transcription import Recognised, Recogniser
from mister_e.transcription.whisper import load_whisper

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
        turns = list(pipeline(SAMPLE, language="de", turns="pauses"))
        assert languages == ["de"]
        assert [turn.text is not None for turn in turns] == [number % 2 == 1 for number in range(len(turns))]
        assert all(turn.text.startswith("Rain for ") for turn in turns[1::2])
    with pytest.raises(InputError, match="nobody speaks it"):
        pipeline(SAMPLE, language="tlh")


def test_uncertain_words_are_kept_marked_counted_and_not_read():
    def recogniser(found: Recognised | str | None) -> Pipeline:
        def recognise(turns: Sequence[np.ndarray]) -> list[Recognised | str | None]:
            return [found if number == 1 else "I know." for number in range(len(turns))]

        return Pipeline.from_pretrained("mini", recogniser=lambda _: recognise)

    doubted = recogniser(Recognised("Aah, aah!", 0.25, uncertain=True))(SAMPLE)
    turn = list(doubted)[1]
    assert (turn.text, turn.asr_confidence, turn.text_uncertain) == ("Aah, aah!", 0.25, True)
    assert turn.missing == ("text",)
    assert turn.experts["text"] is None
    assert turn.gate["text"] == turn.gate["fusion"] == 0
    (note,) = doubted.conversations[0].notes
    assert note == (
        "1 of 14 turns has words that were recognised uncertainly, are marked and were not read by the model:"
        " t0002"
    )
    # the whole conversation is judged as if nothing had been recognised there, but for the confidence: sound
    # without words has its own
    silent = recogniser(None)(SAMPLE)
    assert [each.gate for each in doubted] == [each.gate for each in silent]
    ranked = [[sorted(each.scores, key=each.scores.__getitem__) for each in one] for one in (doubted, silent)]
    assert ranked[0] == ranked[1]
    assert list(silent)[1].notes == (NO_WORDS,)
    assert silent.conversations[0].notes == ()
    # a confidence alone hides nothing, and a function without one gives none
    for words in ("Aah, aah!", Recognised("Aah, aah!", 0.01)):
        shown = list(recogniser(words)(SAMPLE))[1]
        assert (shown.missing, shown.text_uncertain) == ((), False)
        assert shown.asr_confidence == (None if isinstance(words, str) else 0.01)
        assert shown.scores != turn.scores


def test_words_of_a_transcript_have_no_confidence_of_recognition():
    for turn in Pipeline.from_pretrained("mini")(SAMPLE, transcript=SAMPLE.with_suffix(".srt")):
        assert (turn.asr_confidence, turn.text_uncertain) == (None, False)


def test_a_conversation_keeps_what_was_recognised_uncertainly():
    turns = (Utterance("t1", "Hello"), Utterance("t2", "Aah", asr_confidence=0.2, text_uncertain=True))
    again = Conversation.from_json(Conversation("call", turns).to_json())
    analysis = Pipeline.from_pretrained("mini")(again)
    assert [turn.id for turn in analysis] == ["t1"]
    assert analysis.conversations[0].notes == (
        "1 turns without words or sound were left out (uncertain words are not read): t2",
    )


def test_whisper_is_loaded_once_and_only_to_recognise(monkeypatch):
    loaded: list[object] = []

    def load(*model: str, **options: str) -> object:
        loaded.append(load_whisper(*model, **options))
        return loaded[-1]

    monkeypatch.setattr("mister_e.transcription.whisper.recogniser.load_whisper", load)
    pipeline = Pipeline.from_pretrained("mini")
    pipeline(SAMPLE.with_suffix(".srt"))
    pipeline(SAMPLE, transcript=SAMPLE.with_suffix(".srt"))
    pipeline(SAMPLE, asr=False)
    assert loaded == []
    first, again = pipeline(SAMPLE), pipeline(SAMPLE)
    assert first == again
    assert len(loaded) == 1
