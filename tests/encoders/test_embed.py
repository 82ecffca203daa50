"""Turns made ready for the mixture with the bundled model: alone, together, and through statistics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mister_e import Conversation, Pipeline, Utterance
from mister_e.audio.decode import read_clip
from mister_e.audio.prosody import STATISTICS
from mister_e.conversation import Clip
from mister_e.encoders.base import embed
from mister_e.encoders.conversations import StoredConversation
from mister_e.encoders.embed import encode_speech
from mister_e.errors import InputError
from mister_e.inference.predict import predict

RECORDING = Path(__file__).parents[2] / "samples" / "conversation.flac"
#: Of a calm turn, in the order of `STATISTICS`.
CALM = dict(zip(STATISTICS, (1.8, 60.0, 9.0, 170.0, 50.0, 180.0, 5.0, 7.0), strict=True))


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline.from_pretrained("mini", device="cpu")


def told(number: int, text: str | None, **changes: float) -> Utterance:
    """A turn of a table: statistics, and no sound."""
    return Utterance(f"t{number}", text, custom={"features": CALM | changes})


@pytest.fixture(scope="module")
def conversations() -> list[Conversation]:
    sound = [Clip(samples=read_clip(RECORDING, start, start + 3, None)) for start in (0.0, 3.5, 18.0)]
    return [
        Conversation("clip", (Utterance("a", audio=sound[0]),)),
        Conversation("words", (Utterance("a", "I hate this!"), Utterance("b", None), Utterance("c", "Why?"))),
        Conversation("both", tuple(Utterance(f"{i}", f"Word {i}.", audio=sound[i]) for i in range(3))),
        Conversation("other clip", (Utterance("a", audio=sound[2]),)),
        Conversation("told", (told(0, "So what?"), told(1, "Oh!", avg_pitch=320.0), told(2, None))),
        Conversation("nobody", ()),
    ]


def test_together_is_as_alone(pipeline, conversations):
    together = pipeline.predictor.predict(iter(conversations))
    said = together.predictions
    assert said.conversation_ids == tuple(one.id for one in conversations)
    assert [turn.audio for turn in together.turns] == [None] * len(said)
    assert said.predicted.tolist() == [turn.id != "b" for turn in together.turns]
    first = 0
    for one in conversations:
        alone = pipeline.predictor.predict([one])
        where = slice(first, first + len(one))
        for name in ("logits", "experts", "gate", "present", "shown"):
            assert getattr(said, name)[where] == pytest.approx(getattr(alone.predictions, name), abs=1e-5)
        assert (together.temperatures[where] == alone.temperatures).all()
        first += len(one)


def test_the_numbers_are_those_of_the_analysis(pipeline, conversations):
    found = pipeline.predictor.predict(conversations[2:3])
    scaled = torch.from_numpy(found.predictions.logits / found.temperatures)
    for turn, row in zip(pipeline(conversations[2]), scaled.softmax(-1), strict=True):
        assert list(turn.scores.values()) == pytest.approx(row.tolist(), abs=1e-6)


def test_statistics_without_sound_are_encoded_as_in_training(pipeline, conversations):
    conversation, model = conversations[4], pipeline.model
    # the way of `mister-e embed`
    text, has_text = embed(model.encoders["text"], [conversation])
    speech, has_speech = embed(model.encoders["speech"], [conversation])
    ids, labels = tuple(turn.id for turn in conversation), torch.full((3,), -1)
    stored = StoredConversation(conversation.id, ids, text, speech, has_text, has_speech, labels)
    expected = predict(model.mixture, [stored])
    found = pipeline.predictor.predict([conversation]).predictions
    assert found.shown[:, 1].all()
    assert found.logits == pytest.approx(expected.logits, abs=1e-5)
    assert found.gate == pytest.approx(expected.gate, abs=1e-5)
    last = list(pipeline(conversation))[-1]
    assert last.missing == ("text",)
    assert last.gate["speech"] == 1


def test_statistics_do_not_stand_in_for_a_clip_that_is_silent(pipeline):
    silence = Clip(samples=np.zeros(16_000, np.float32))
    turn = Utterance("t", "Well.", audio=silence, custom={"features": CALM})
    assert pipeline.predictor.predict([Conversation("c", (turn,))]).predictions.shown.tolist() == [
        [True, False]
    ]


def test_one_modality_alone_is_all_that_is_opened(pipeline):
    gone = Utterance("t", "Great!", audio=Clip("no such recording.wav"), custom={"features": CALM})
    said = pipeline.predictor.predict([Conversation("c", (gone,))], mode="text-only").predictions
    assert said.shown.tolist() == [[True, False]]
    with pytest.raises(InputError, match="no such recording"):
        pipeline.predictor.predict([Conversation("c", (gone,))], mode="speech-only")
    said = pipeline.predictor.predict(
        [Conversation("c", (told(0, "Great!"),))], mode="speech-only"
    ).predictions
    assert said.shown.tolist() == [[False, True]]


def test_words_are_not_read_where_they_do_not_count(pipeline, monkeypatch):
    def read(*_, **__):
        raise AssertionError("the words were read")

    monkeypatch.setattr(type(pipeline.predictor.text_encoder), "encode_batch", read)
    talk = [Conversation("c", (told(0, "Great!"),))]
    pipeline.predictor.predict(talk, mode="speech-only")
    with pytest.raises(AssertionError, match="were read"):
        pipeline.predictor.predict(talk)


@pytest.mark.parametrize("features", [{"avg_pitch": "high"}, ["avg_pitch"], 3])
def test_statistics_that_are_not_numbers_are_told(pipeline, features):
    turn = Utterance("t7", "Well.", custom={"features": features})
    with pytest.raises(InputError, match=r"turn t7: custom 'features'"):
        pipeline.predictor.predict([Conversation("c", (turn,))])


def test_features_of_another_kind_are_no_statistics(pipeline):
    turn = Utterance("t", "Well.", custom={"features": {"wav2vec_17": 0.3, "avg_pitch": float("nan")}})
    assert pipeline.predictor.predict([Conversation("c", (turn,))]).predictions.shown.tolist() == [
        [True, False]
    ]


def test_the_sound_of_one_group_alone_is_held(pipeline, monkeypatch):
    monkeypatch.setattr("mister_e.encoders.embed.GROUP_SECONDS", 5.0)
    encoder, encoded = pipeline.predictor.speech_encoder, []
    real = encoder.encode_turns
    monkeypatch.setattr(
        encoder, "encode_turns", lambda group: (encoded.append(len(group[0])), real(group))[1]
    )

    def turns():
        for number in range(7):
            # so much is loaded beyond what was encoded
            assert number - sum(encoded) <= 2
            yield Utterance(f"{number}", audio=Clip(samples=np.zeros(3 * 16_000, np.float32)))

    assert len(list(encode_speech(turns(), encoder, []))) == 7
    assert encoded == [2, 2, 2, 1]


def test_turns_of_several_conversations_may_share_an_id(pipeline, conversations):
    found = list(
        pipeline.predictor.encode([turn for c in (conversations[0], conversations[3]) for turn in c], [])
    )
    assert [turn.utterance.id for turn in found] == ["a", "a"]
    assert not torch.equal(found[0].speech, found[1].speech)
