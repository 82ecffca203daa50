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
from mister_e.encoders.embed import hear_turns
from mister_e.errors import InputError
from mister_e.training.mixture import judge
from mister_e.training.stage2.pairing import table_embedded
from mister_e.training.turns import TableConversation

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
    together = pipeline.judge(iter(conversations))
    said = together.predictions
    assert said.conversation_ids == tuple(one.id for one in conversations)
    assert [turn.audio for turn in together.turns] == [None] * len(said)
    assert said.judged.tolist() == [turn.id != "b" for turn in together.turns]
    first = 0
    for one in conversations:
        alone = pipeline.judge([one])
        where = slice(first, first + len(one))
        for name in ("logits", "experts", "gate", "present", "shown"):
            assert getattr(said, name)[where] == pytest.approx(getattr(alone.predictions, name), abs=1e-5)
        assert (together.temperatures[where] == alone.temperatures).all()
        first += len(one)


def test_the_numbers_are_those_of_the_analysis(pipeline, conversations):
    judged = pipeline.judge(conversations[2:3])
    scaled = torch.from_numpy(judged.predictions.logits / judged.temperatures)
    for turn, row in zip(pipeline(conversations[2]), scaled.softmax(-1), strict=True):
        assert list(turn.scores.values()) == pytest.approx(row.tolist(), abs=1e-6)


def test_statistics_without_sound_are_heard_as_in_training(pipeline, conversations):
    one = conversations[4]
    rows = np.array([[turn.custom["features"][name] for name in STATISTICS] for turn in one], np.float32)
    texts = tuple(turn.text or "" for turn in one)
    table = TableConversation(one.id, texts, (0,) * len(one), rows, np.ones(len(one), dtype=bool))
    model = pipeline.model
    embedded = table_embedded([table], model.text_encoder, model.speech_encoder)
    judged = judge(model.mixture, embedded)
    said = pipeline.judge([one]).predictions
    assert said.shown[:, 1].all()
    assert said.logits == pytest.approx(judged.logits.numpy(), abs=1e-5)
    assert said.gate == pytest.approx(judged.gate.numpy(), abs=1e-5)
    last = list(pipeline(one))[-1]
    assert last.missing == ("text",)
    assert last.gate["speech"] == 1


def test_statistics_do_not_stand_in_for_a_clip_that_is_silent(pipeline):
    silence = Clip(samples=np.zeros(16_000, np.float32))
    turn = Utterance("t", "Well.", audio=silence, custom={"features": CALM})
    assert pipeline.judge([Conversation("c", (turn,))]).predictions.shown.tolist() == [[True, False]]


def test_one_modality_alone_is_all_that_is_opened(pipeline):
    gone = Utterance("t", "Great!", audio=Clip("no such recording.wav"), custom={"features": CALM})
    said = pipeline.judge([Conversation("c", (gone,))], mode="text-only").predictions
    assert said.shown.tolist() == [[True, False]]
    with pytest.raises(InputError, match="no such recording"):
        pipeline.judge([Conversation("c", (gone,))], mode="speech-only")
    said = pipeline.judge([Conversation("c", (told(0, "Great!"),))], mode="speech-only").predictions
    assert said.shown.tolist() == [[False, True]]


@pytest.mark.parametrize("features", [{"avg_pitch": "high"}, ["avg_pitch"], 3])
def test_statistics_that_are_not_numbers_are_told(pipeline, features):
    turn = Utterance("t7", "Well.", custom={"features": features})
    with pytest.raises(InputError, match=r"turn t7: custom 'features'"):
        pipeline.judge([Conversation("c", (turn,))])


def test_features_of_another_kind_are_no_statistics(pipeline):
    turn = Utterance("t", "Well.", custom={"features": {"wav2vec_17": 0.3, "avg_pitch": float("nan")}})
    assert pipeline.judge([Conversation("c", (turn,))]).predictions.shown.tolist() == [[True, False]]


def test_the_sound_of_one_group_alone_is_held(pipeline, monkeypatch):
    monkeypatch.setattr("mister_e.encoders.embed.GROUP_SECONDS", 5.0)
    calls: list[int] = []

    class FrontEnd:
        def hear(self, sounds):
            calls.append(len(sounds))
            return [None] * len(sounds)

    def turns():
        for number in range(7):
            # so much is loaded beyond what was heard
            assert number - sum(calls) <= 2
            yield Utterance(f"{number}", audio=Clip(samples=np.zeros(3 * 16_000, np.float32)))

    assert len(list(hear_turns(turns(), FrontEnd(), pipeline.model.speech_encoder, []))) == 7
    assert calls == [2, 2, 2, 1]
