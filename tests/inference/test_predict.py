from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from stores import TEXT_DIM, make_store, small_recipe

from mister_e.encoders.conversations import StoredConversation
from mister_e.errors import InputError
from mister_e.inference.predict import predict
from mister_e.model import MisterE
from mister_e.model.windows import Window
from mister_e.training.stage2.data import read_training_data


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A mixture with random weights, and conversations with turns that lack what they may lack."""
    folder = tmp_path_factory.mktemp("predict")

    def edit(split, talk, turn, modality, row):
        lacks = {1: ("text",), 2: ("speech",), 4: ("text", "speech")}.get(turn, ())
        return None if modality in lacks else row

    store = make_store(folder / "store", edit=edit, sizes=(3, 9, 5))
    torch.manual_seed(0)
    model = MisterE(read_training_data(store, small_recipe(folder)).config)
    return model, list(store.conversations("validation"))


def one_by_one(model, one, turns):
    """What the model says of some turns of a conversation, called plainly."""
    model.eval()
    index = torch.tensor(turns)
    with torch.inference_mode():
        return model(
            one.text[index][None],
            one.speech[index][None],
            mask=torch.ones(1, len(turns), dtype=torch.bool),
            has_text=one.has_text[index][None],
            has_speech=one.has_speech[index][None],
        )


def rows_of(predictions, conversation):
    return np.flatnonzero(predictions.conversations == conversation)


def test_every_turn_comes_back_in_its_place(made):
    model, talks = made
    said = predict(model, talks)
    assert len(said) == sum(map(len, talks))
    assert list(said.ids) == [turn for one in talks for turn in one.ids]
    assert said.labels.tolist() == [label for one in talks for label in one.labels.tolist()]
    for number, one in enumerate(talks):
        there = (one.has_text | one.has_speech).nonzero().flatten().tolist()
        expected = one_by_one(model, one, there)
        rows = rows_of(said, number)
        assert said.predicted[rows].tolist() == [turn in there for turn in range(len(one))]
        for name in ("logits", "experts", "gate", "present"):
            np.testing.assert_allclose(
                getattr(said, name)[rows[there]], getattr(expected, name)[0].numpy(), atol=1e-5
            )
    assert (said.logits[~said.predicted] == 0).all()


def test_past_only_is_each_prefix_alone(made):
    model, talks = made
    said = predict(model, talks, mode="past-only", batch_turns=13)
    for number, one in enumerate(talks[:3]):
        there = (one.has_text | one.has_speech).nonzero().flatten().tolist()
        for place, turn in enumerate(there):
            expected = one_by_one(model, one, there[: place + 1]).logits[0, -1].numpy()
            np.testing.assert_allclose(said.logits[rows_of(said, number)[turn]], expected, atol=1e-5)


def test_past_only_does_not_change_with_what_comes_later(made):
    model, talks = made
    long = max(talks, key=len)
    changed = replace(long, text=long.text.clone())
    changed.text[6:] += 100
    before, after = (predict(model, [one], mode="past-only").logits for one in (long, changed))
    np.testing.assert_array_equal(before[:6], after[:6])
    assert not np.allclose(before[6:], after[6:])


@pytest.mark.parametrize(
    ("mode", "expert", "lacks"), [("text-only", 1, "speech"), ("speech-only", 0, "text")]
)
def test_one_modality_alone(made, mode, expert, lacks):
    model, talks = made
    said = predict(model, talks, mode=mode)
    has = torch.cat([one.has_text if mode == "text-only" else one.has_speech for one in talks]).numpy()
    assert (said.predicted == has).all()
    assert said.present[:, [e for e in range(3) if e != expert]].sum() == 0
    noisy = [StoredConversation(**{**vars(one), lacks: getattr(one, lacks) + 50.0}) for one in talks]
    np.testing.assert_array_equal(said.logits, predict(model, noisy, mode=mode).logits)


def test_batches_change_nothing(made):
    model, talks = made
    one, many = (predict(model, talks, batch_turns=turns).logits for turns in (1, 10_000))
    np.testing.assert_allclose(one, many, atol=1e-5)
    assert model.eval() is model


def test_the_mode_of_training_stays(made):
    model, talks = made
    model.train()
    predict(model, talks[:1])
    assert model.training
    model.eval()


@given(turns=st.integers(1, 300), window=st.integers(3, 60), data=st.data())
def test_windows_judge_every_turn_once_and_away_from_their_ends(turns, window, data):
    overlap = data.draw(st.integers(0, (window - 1) // 2))
    found = list(Window(window, overlap).spans(turns))
    assert [turn for _, _, judged, end in found for turn in range(judged, end)] == list(range(turns))
    for first, last, judged, end in found:
        assert last - first == min(window, turns)
        assert judged - first >= overlap or first == 0
        assert last - end >= overlap or last == turns


def test_windows_of_a_long_conversation_say_the_same_in_their_middle(made):
    model, talks = made
    pieces = [one for one in talks for _ in range(10)]
    whole = StoredConversation(
        "long",
        tuple(str(i) for i in range(sum(map(len, pieces)))),
        *(torch.cat([getattr(one, name) for one in pieces]) for name in ("text", "speech", "has_text")),
        torch.cat([one.has_speech for one in pieces]),
        torch.cat([one.labels for one in pieces]),
    )
    together = predict(model, [whole], window=10_000)
    windows = predict(model, [whole], window=128)
    agreed = (together.logits.argmax(1) == windows.logits.argmax(1))[together.predicted].mean()
    assert agreed > 0.99
    fused = [said.experts[:, 2] for said in (together, windows)]
    np.testing.assert_allclose(*fused, atol=1e-5)  # the attention reaches everywhere all the same


def test_without_gate_there_are_no_weights(made):
    model, talks = made
    variant = MisterE(model.config.model_copy(update={"gate": "concatenation"}))
    assert predict(variant, talks).gate is None


def test_bad_input_is_named(made):
    model, talks = made
    with pytest.raises(InputError, match="there is no mode 'live': the modes are full"):
        predict(model, talks, mode="live")
    with pytest.raises(InputError, match="window 4, overlap 2: a window is wider"):
        predict(model, talks, window=4, overlap=2)
    wide = replace(talks[0], text=torch.zeros(len(talks[0]), TEXT_DIM + 1))
    with pytest.raises(InputError, match=f"text embeddings have {TEXT_DIM + 1} numbers, the model takes"):
        predict(model, [wide])


def test_nothing_gives_nothing(made):
    model, talks = made
    empty = StoredConversation(
        "none",
        (),
        *(torch.zeros(0, width) for width in (model.config.text_dim, model.config.speech_dim)),
        *(torch.zeros(0, dtype=torch.bool) for _ in range(2)),
        torch.zeros(0, dtype=torch.long),
    )
    assert len(predict(model, [])) == 0
    said = predict(model, [empty, talks[0]])
    assert list(said.conversation_ids) == ["none", talks[0].id]
    np.testing.assert_array_equal(said.logits, predict(model, talks[:1]).logits)
