"""The language of each turn: long turns decide for short ones, and a call in two languages keeps both."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from mister_e import Pipeline
from mister_e.audio import blocks
from mister_e.audio.format import SAMPLE_RATE
from mister_e.conversation import OTHER_LANGUAGE
from mister_e.errors import InputError
from mister_e.pretrained.weights import is_installed
from mister_e.transcription.asr import for_recording
from mister_e.transcription.whisper import WhisperRecogniser, load_whisper
from mister_e.transcription.whisper.languages import Languages, normalised

SAMPLE = Path(__file__).parents[3] / "samples" / "conversation.flac"
needs_base = pytest.mark.skipif(
    not (is_installed("whisper-base-part1") and is_installed("whisper-base-part2")),
    reason="needs the wheels of Whisper base",
)

ENGLISH = (5.0, {"en": 0.97, "pl": 0.01, "cy": 0.02})
POLISH = (4.0, {"pl": 0.95, "en": 0.05})
SHORT = (0.6, {"cy": 0.5, "pl": 0.3, "en": 0.2})


def decide(languages: Languages, *turns: tuple[float, dict[str, float]]) -> list[str]:
    return languages.decide([seconds for seconds, _ in turns], [heard for _, heard in turns])


def test_long_turns_decide_for_short_and_doubtful_ones_before_and_after():
    doubtful = (6.0, {"cy": 0.6, "en": 0.4})
    languages = Languages()
    assert decide(languages, SHORT, ENGLISH, doubtful) == ["en", "en", "en"]
    assert decide(languages, SHORT) == ["en"]


def test_two_languages_are_both_kept():
    short_polish, short_english = (0.7, {"ru": 0.6, "pl": 0.3}), (0.7, {"nn": 0.6, "en": 0.3, "pl": 0.1})
    turns = (ENGLISH, POLISH, short_polish, short_english)
    assert decide(Languages(), *turns) == ["en", "pl", "pl", "en"]


def test_one_turn_in_another_language_draws_no_others_to_it():
    languages = Languages()
    decide(languages, *[ENGLISH] * 10)
    assert decide(languages, (2.0, {"cy": 0.95, "en": 0.05}), SHORT) == ["cy", "en"]
    assert decide(languages, (0.5, {"cy": 0.9, "en": 0.1})) == ["en"]


def test_where_no_turn_is_long_all_together_decide():
    turns = [(0.8, {"pl": 0.5, "ru": 0.4}), (0.8, {"pl": 0.5, "cs": 0.4}), (0.8, {"ru": 0.6, "pl": 0.3})]
    assert decide(Languages(), *turns) == ["pl"] * 3
    assert decide(Languages()) == []


def test_what_is_kept_does_not_grow():
    languages = Languages()
    for _ in range(1000):
        decide(languages, ENGLISH, POLISH, SHORT)
    assert len(languages._told) == 2
    assert len(languages._evidence) == 3


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("EN", "en"),
        ("en-US", "en"),
        ("en_GB.UTF-8", "en"),
        ("zh-Hant-TW", "zh"),
        ("Auto", "auto"),
        ("en-gb-x", "en"),
        ("english", "english"),
        ("TLH", "TLH"),
        ("", ""),
    ],
)
def test_a_code_in_any_case_and_with_a_region_is_that_of_the_language(given, found):
    assert normalised(given, ["en", "zh"]) == found


def test_the_bundled_one_takes_english_of_any_region():
    assert WhisperRecogniser("en-US")._language == WhisperRecogniser("EN")._language == "en"
    with pytest.raises(InputError, match="language 'de-AT': this recogniser knows only English"):
        WhisperRecogniser("de-AT")


@pytest.fixture(scope="module")
def base() -> object:
    return load_whisper("base", threads=1)


@pytest.fixture(scope="module")
def turns() -> list[np.ndarray]:
    """The first sentences of the sample."""
    talk = np.concatenate([block[0] for block in blocks(SAMPLE)])
    return [
        talk[round(first * SAMPLE_RATE) : round(last * SAMPLE_RATE)]
        for first, last in ((0.0, 3.3), (3.6, 7.4), (15.0, 17.4))
    ]


@needs_base
def test_english_is_found_and_its_words(base, turns):
    found = WhisperRecogniser("auto", base)(turns)
    assert [one.language for one in found] == ["en"] * 3
    assert "water the plants" in found[0].text
    assert found == WhisperRecogniser("en", base)(turns)


@needs_base
def test_each_recording_begins_anew(base):
    recogniser = WhisperRecogniser("auto", base)
    decide(recogniser._languages, POLISH)
    other = for_recording(recogniser)
    assert other._languages._told == {}
    assert other._whisper is base


def test_a_function_is_ready_for_any_recording():
    def recognise(turns):
        return [None] * len(turns)

    assert for_recording(recognise) is recognise


@needs_base
def test_a_language_that_a_multilingual_one_does_not_know_lists_those_it_does(base):
    with pytest.raises(InputError, match=r"'tlh': this recogniser does not know it; it knows .*en.*; auto ="):
        WhisperRecogniser("tlh", base)


@needs_base
def test_a_batch_in_two_languages_is_decoded_in_each(base, turns, monkeypatch):
    recogniser = WhisperRecogniser("auto", base)
    monkeypatch.setattr(recogniser._languages, "decide", lambda lengths, heard: ["en", "de", "en"])
    found = recogniser(turns)
    assert [one.language for one in found if one] == ["en", "de", "en"]
    alone = [
        WhisperRecogniser(code, base)([turn])[0] for code, turn in zip(["en", "de", "en"], turns, strict=True)
    ]
    assert [one.text for one in found] == [one.text for one in alone]


@needs_base
@pytest.mark.slow
def test_words_of_a_language_that_is_not_read_are_shown_and_not_judged():
    analysis = Pipeline.from_pretrained("mini", recogniser="base")(SAMPLE, language="de")
    (conversation,) = analysis.conversations
    shown = [turn for turn in analysis if turn.text]
    assert len(shown) > 5
    for turn in shown:
        assert turn.language == "de"
        assert OTHER_LANGUAGE in turn.notes
        assert "text" in turn.missing
        assert turn.experts["text"] is None
        assert turn.gate["text"] == turn.gate["fusion"] == 0
    assert any(
        f"{len(shown)} of {len(analysis)} turns have words of a language that the model does not read (de)"
        in note
        for note in conversation.notes
    )


@needs_base
@pytest.mark.slow
def test_a_call_in_polish_and_english_keeps_both():
    data = os.environ.get("MISTER_E_DATA")
    if not data or not (Path(data) / "nemo" / "manifest.csv").is_file():
        pytest.skip("needs Polish speech: MISTER_E_DATA, a folder with nemo/manifest.csv and its clips")
    with (Path(data) / "nemo" / "manifest.csv").open(encoding="utf-8", newline="") as file:
        clips = list(csv.DictReader(file))[:600:60]
    sound = [np.concatenate([block[0] for block in blocks(SAMPLE)])[: 30 * SAMPLE_RATE]]
    for clip in clips:
        sound += [np.concatenate([block[0] for block in blocks(Path(data) / "nemo" / clip["file"])])]
        sound += [np.zeros(SAMPLE_RATE, np.float32)]
    call = np.concatenate(sound)
    analysis = Pipeline.from_pretrained("mini", recogniser="base")((call, SAMPLE_RATE))
    told = [turn for turn in analysis if turn.text]
    english = [turn.language for turn in told if turn.end < 29]
    polish = [turn for turn in told if turn.start > 30]
    assert set(english) == {"en"}
    assert sum(turn.language == "pl" for turn in polish) >= 0.8 * len(polish) > 5
    for turn in polish:
        assert (OTHER_LANGUAGE in turn.notes) == (turn.language != "en")
