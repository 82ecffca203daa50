"""Temperatures: fitted on the turns that they are for, and used for the same."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mister_e.conversation import CROSSTALK, NO_WORDS
from mister_e.encoders.conversations import StoredConversation
from mister_e.inference.batch import pad
from mister_e.inference.calibration import (
    Calibration,
    fit_calibration,
    fit_notes,
    fit_temperature,
    temperatures,
)
from mister_e.inference.predictions import Predictions


def predictions(stretch, shown, turns=3000, seed=0, labelled=True):
    """Predictions whose confidence is off by a factor."""
    random = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(turns, 4, generator=random)
    labels = torch.multinomial(logits.softmax(-1), 1, generator=random)[:, 0].numpy()
    return Predictions(
        ids=tuple(map(str, range(turns))),
        conversations=np.zeros(turns, np.int64),
        conversation_ids=("c",),
        labels=labels if labelled else np.full(turns, -1),
        logits=(stretch * logits).numpy(),
        predicted=np.ones(turns, bool),
        shown=np.tile(np.array(shown), (turns, 1)),
    )


def joined(*several):
    """The turns of several predictions in one."""
    names = ("labels", "logits", "predicted", "shown", "conversations")
    arrays = {name: np.concatenate([getattr(each, name) for each in several]) for name in names}
    return replace(several[0], ids=tuple(map(str, range(len(arrays["labels"])))), **arrays)


def test_the_temperature_mends_what_was_stretched():
    right, wrong = predictions(1.0, (True, True)), predictions(3.0, (True, True))
    for each, expected in ((right, 1.0), (wrong, 3.0)):
        fitted = fit_temperature(torch.from_numpy(each.logits), torch.from_numpy(each.labels))
        assert fitted == pytest.approx(expected, rel=0.1)


def test_each_temperature_is_fitted_on_the_turns_that_were_shown_so():
    both, text, speech = (
        predictions(stretch, shown, seed=seed)
        for seed, (stretch, shown) in enumerate(
            [(2.0, (True, True)), (0.5, (True, False)), (4.0, (False, True))]
        )
    )
    mixed = joined(both, text)  # some turns of a split lack their speech
    found = fit_calibration({"both": [mixed], "text": [text], "speech": [speech]})
    assert found.both == pytest.approx(2.0, rel=0.1)
    assert found.text == pytest.approx(0.5, rel=0.1)
    assert found.speech == pytest.approx(4.0, rel=0.1)
    used = temperatures(found, joined(both, text, speech))[:, 0]
    assert np.array_equal(used, np.repeat([found.both, found.text, found.speech], 3000))


def test_several_predictions_count_by_their_turns():
    sure, unsure = predictions(3.0, (False, True)), predictions(1.0, (False, True), seed=1)
    found = fit_calibration({"speech": [sure, unsure]})
    whole = joined(sure, unsure)
    assert found.speech == fit_temperature(torch.from_numpy(whole.logits), torch.from_numpy(whole.labels))
    assert 1.0 < found.speech < 3.0


def test_a_set_that_no_labelled_turn_was_shown_with_keeps_one():
    unlabelled = predictions(3.0, (True, False), labelled=False)
    assert fit_calibration({"both": [unlabelled], "text": [unlabelled], "speech": []}) == Calibration()


def test_padding_labels_pads_as_unlabelled():
    def conversation(turns):
        everywhere = torch.ones(turns, dtype=torch.bool)
        rows = torch.randn(turns, 3), torch.randn(turns, 2)
        labels = torch.zeros(turns, dtype=torch.long)
        return StoredConversation("c", tuple("ab" * turns)[:turns], *rows, everywhere, everywhere, labels)

    batch = pad([conversation(2), conversation(5)])
    assert batch.mask.sum(1).tolist() == [2, 5]
    assert batch.labels[0].tolist() == [0, 0, -1, -1, -1]
    assert batch.text.shape == (2, 5, 3)
    assert batch.has_text.dtype == torch.bool
    assert not batch.has_speech[0, 2:].any()


def test_where_it_is_not_known_what_was_shown_nothing_is_divided():
    predictions = Predictions(
        ids=("a", "b"),
        conversations=np.zeros(2, np.int64),
        conversation_ids=("c",),
        labels=np.zeros(2, np.int64),
        logits=np.zeros((2, 4), np.float32),
        predicted=np.ones(2, bool),
    )
    np.testing.assert_array_equal(temperatures(Calibration(text=2.0), predictions), np.ones((2, 1)))


def test_notes_decide_the_temperature_of_what_was_heard():
    calibration = Calibration(both=2.0, speech=3.0, text=4.0, wordless=5.0, crosstalk=1.5)
    shown = [(True, True), (True, True), (False, True), (False, True), (False, True), (True, False)]
    notes = [(), (CROSSTALK,), (), (NO_WORDS,), (NO_WORDS, CROSSTALK), (CROSSTALK, NO_WORDS)]
    rows = replace(predictions(1.0, (True, True), turns=6), shown=np.array(shown))
    assert temperatures(calibration, rows, notes)[:, 0].tolist() == [2.0, 3.0, 3.0, 5.0, 7.5, 4.0]
    assert temperatures(calibration, rows)[:, 0].tolist() == [2.0, 2.0, 3.0, 3.0, 3.0, 4.0]


def test_a_model_that_knows_no_turns_without_words_takes_them_as_turns_with_sound_alone():
    rows = predictions(1.0, (False, True), turns=2)
    assert temperatures(Calibration(speech=3.0), rows, [(NO_WORDS,), ()])[:, 0].tolist() == [3.0, 3.0]


def test_notes_are_fitted_without_touching_other_temperatures():
    before = Calibration(both=2.0, speech=3.0, text=0.5, uncertain_below=0.3)
    wordless, mixed = predictions(4.0, (False, True)), predictions(3.0, (True, True), seed=1)
    found = fit_notes(before, wordless=[wordless], crosstalk=[mixed])
    assert found.wordless == pytest.approx(4.0, rel=0.1)
    assert found.both * found.crosstalk == pytest.approx(3.0, rel=0.1)
    assert found.model_copy(update={"wordless": None, "crosstalk": 1.0}) == before
    assert fit_notes(before) == before
    unlabelled = predictions(4.0, (False, True), labelled=False)
    assert fit_notes(before, wordless=[unlabelled], crosstalk=[unlabelled]) == before


def test_sets_of_turns_without_words_count_the_same_whatever_their_size():
    few, many = predictions(4.0, (False, True), turns=1500), predictions(1.0, (False, True), 6000, seed=1)
    found = fit_notes(Calibration(), wordless=[few, many]).wordless
    both = few, few, many, many
    assert found == fit_notes(Calibration(), wordless=both).wordless
    assert found > fit_temperature(torch.from_numpy(many.logits), torch.from_numpy(many.labels)) * 1.2
