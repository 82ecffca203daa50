from __future__ import annotations

from dataclasses import replace

import pytest
from analyses import analysis, judged

from mister_e.analysis.subtitles import cue
from mister_e.analysis.turns import ConversationAnalysis
from mister_e.conversation import CROSSTALK, NO_WORDS, OTHER_LANGUAGE
from mister_e.transcription import read_transcript

TURN = replace(judged(1, "joy", "I know.", 0.0, 2.0), confidence=0.61)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "[joy 61%] I know."),
        ({"uncertain": True, "text_uncertain": True}, "[joy ? 61%] I know. (?)"),
        ({"notes": (CROSSTALK,)}, "[crosstalk, joy 61%] I know."),
        ({"notes": (NO_WORDS,), "text": None}, "[no words, joy 61%]"),
        # words were not looked for
        ({"text": None}, "[joy 61%]"),
        (
            {"notes": (CROSSTALK, OTHER_LANGUAGE), "language": "fr"},
            "[crosstalk, fr not read, joy 61%] I know.",
        ),
        ({"notes": (OTHER_LANGUAGE,)}, "[language not read, joy 61%] I know."),
    ],
)
def test_a_cue_tells_the_notes_the_emotion_and_the_words(changes, text):
    assert cue(replace(TURN, **changes)) == text


def test_notes_do_not_become_words_when_the_subtitles_are_read_back(tmp_path):
    noted = replace(TURN, notes=(CROSSTALK, OTHER_LANGUAGE), language="fr", uncertain=True)
    result = analysis(ConversationAnalysis("call", None, None, (noted,)))
    for name, text in (("call.srt", result.to_srt()), ("call.vtt", result.to_vtt())):
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert [turn.text for turn in read_transcript(tmp_path / name)] == ["I know."]
