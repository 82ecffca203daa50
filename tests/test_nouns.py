import json
import subprocess
import sys

import numpy as np
import pytest

from mister_e import Conversation, Utterance
from mister_e.conversation import Clip, has_words
from mister_e.errors import InputError
from mister_e.labels import MELD_EMOTIONS, LabelSet, colour


def conversation() -> Conversation:
    return Conversation(
        "call",
        (
            Utterance("t1", "Hello", 0.0, 1.5, channel=0, audio=Clip("call.wav", 0.0, 1.5, 0), label="joy"),
            Utterance("t2", None, 1.5, 2.0, custom={"improvised": True}),
            Utterance("t3", "Bye", asr_confidence=0.4, text_uncertain=True),
        ),
        source="call.wav",
        duration=3.0,
    )


def test_a_conversation_survives_json():
    before = conversation()
    assert Conversation.from_json(json.loads(json.dumps(before.to_json()))) == before


def test_json_of_a_version_without_confidence_of_recognition_is_read():
    data = Utterance("t1", "Hi").to_json()
    del data["asr_confidence"], data["text_uncertain"]
    assert Utterance.from_json(data) == Utterance("t1", "Hi")


def test_nouns_are_frozen():
    with pytest.raises(AttributeError):
        conversation().utterances[0].text = "other"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        MELD_EMOTIONS.names = ()  # type: ignore[misc]


def test_there_is_no_place_for_a_speaker():
    with pytest.raises(InputError, match="unknown field 'speaker'"):
        Utterance.from_json({"id": "t1", "text": "Hi", "speaker": "Ann"})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"id": ""}, "needs an id"),
        ({"id": "a", "start": 2.0, "end": 1.0}, "ends .* before it starts"),
        ({"id": "a", "start": -1.0}, "start is -1.0"),
        ({"id": "a", "end": float("nan")}, "end is nan"),
        ({"id": "a", "asr_confidence": 1.5}, "asr_confidence is 1.5, expected 0 to 1"),
        ({"id": "a", "asr_confidence": float("nan")}, "asr_confidence is nan"),
    ],
)
def test_a_bad_utterance_says_what_is_wrong(fields, message):
    with pytest.raises(InputError, match=message):
        Utterance(**fields)


def test_a_bad_conversation_says_what_is_wrong():
    with pytest.raises(InputError, match="two utterances are called 'a'"):
        Conversation("c", (Utterance("a"), Utterance("a")))
    with pytest.raises(InputError, match="no field 'utterances'"):
        Conversation.from_json({"id": "c"})
    with pytest.raises(InputError, match="unknown field 'turns'"):
        Conversation.from_json({"id": "c", "utterances": [], "turns": []})
    with pytest.raises(InputError, match="utterance b: field 'start'"):
        Conversation.from_json({"id": "c", "utterances": [{"id": "a"}, {"id": "b", "start": "1"}]})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"id": 3}, "utterance 3: field 'id'"),
        ({"id": "a", "start": "1"}, "utterance a: field 'start'"),
        ({"id": "a", "custom": None}, "utterance a: field 'custom'"),
        ({"id": "a", "audio": {"source": "x.wav", "who": 1}}, "unknown field 'audio.who'"),
        ({"id": "a", "audio": {"source": "x.wav", "samples": [0.5]}}, "unknown field 'audio.samples'"),
        ({"id": "a", "custom": {"sound": b""}}, "utterance a: holds a value that JSON cannot hold"),
        ({"text": "Hi"}, "no field 'id'"),
    ],
)
def test_json_of_the_wrong_shape_is_named(data, message):
    with pytest.raises(InputError, match=message):
        Utterance.from_json(data)


def test_clips_are_equal_when_they_sound_the_same():
    clip = Clip(samples=np.ones(3, np.float32))
    assert clip == Clip(samples=np.ones(3, np.float32))
    assert clip != Clip(samples=np.zeros(9, np.float32))
    assert Clip("a.wav") != Clip("b.wav")
    assert len({Clip("a.wav"), Clip("a.wav")}) == 1


def test_a_clip_of_samples_loads_them_and_keeps_them_out_of_json():
    samples = np.ones(8, np.float32)
    clip = Clip(samples=samples)
    assert clip.load() is samples
    assert Utterance("a", audio=clip).to_json()["audio"] is None
    with pytest.raises(InputError, match="path of a recording or samples"):
        Clip()


def test_labels_keep_their_order_and_names():
    labels = LabelSet(("b", "a"))
    assert LabelSet.from_json(labels.to_json()) == labels
    assert labels.index("a") == 1
    assert labels.scores([0.25, 0.75]) == {"b": 0.25, "a": 0.75}
    assert list(labels) == ["b", "a"]
    with pytest.raises(InputError, match=r"unknown label 'c'.*b, a"):
        labels.index("c")
    with pytest.raises(ValueError, match="shorter"):
        labels.scores([1.0])
    for names in (("a",), ("a", "a"), ("a", "")):
        with pytest.raises(InputError):
            LabelSet(names)


def test_every_emotion_has_a_colour_of_its_own():
    assert len({colour(label) for label in [*MELD_EMOTIONS, "another"]}) == 8


def test_importing_the_package_does_not_load_torch():
    code = "import mister_e, sys; print('torch' in sys.modules, mister_e.Conversation.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "Conversation"]


@pytest.mark.parametrize(
    "text",
    [
        *(None, "", " \n\t", "\u200b", "\ufeff \u2060", "\u00ad", "\u3164", "\ud83d", "\x00", "\u2800"),
        *("?", "?!", "...", "\u2026", "\u2014", "- -", "\u266a", "\U0001f3b5", "\ufffd"),
        *("\u2500\u2500", "\u25a0", "+"),
    ],
)
def test_what_says_nothing_is_no_word(text):
    assert not has_words(text)


@pytest.mark.parametrize(
    "text",
    ["no", "no?", "7", "\u200bno", "\u4f60", "\U0001f642", "\u2764\ufe0f", "\u263a", "e\u0301", "\u00bd"],
)
def test_letters_digits_and_emoji_are_words(text):
    assert has_words(text)
