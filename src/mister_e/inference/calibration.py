"""Temperatures that make confidence honest (Guo et al. 2017), fitted on validation."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from mister_e.conversation import CROSSTALK, NO_WORDS
from mister_e.encoders.conversations import StoredConversation
from mister_e.inference.predict import Mode, predict
from mister_e.inference.predictions import Predictions
from mister_e.model import MisterE


class Calibration(BaseModel):
    """Temperatures that make confidence honest, one for each set of modalities a turn has.

    Fitted on validation; the logits are divided by them (Guo et al. 2017).

    :param both: temperature of turns with words and sound.
    :param speech: of turns with sound alone.
    :param text: of turns with words alone.
    :param wordless: of turns with sound in which no words were found, such as laughter; None = as `speech`,
        whose turns may have words that the model did not read.
    :param crosstalk: factor on the temperature of turns in which several speak at once.
    :param uncertain_below: turns of a lower calibrated confidence, 0 to 1, are shown as uncertain.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    both: float = Field(1.0, gt=0)
    speech: float = Field(1.0, gt=0)
    text: float = Field(1.0, gt=0)
    wordless: float | None = Field(None, gt=0)
    crosstalk: float = Field(1.0, gt=0)
    uncertain_below: float = Field(0.4, ge=0, le=1)


#: What is shown of a turn; each has a temperature of its own.
Modalities = Literal["both", "speech", "text"]
#: What logits are divided by: one number, or one for each turn `[N, 1]`.
Temperature = float | NDArray[np.float64]


def calibrated(predictions: Predictions, temperature: Temperature) -> Predictions:
    """Divide the logits of predictions, so that their probabilities are honest.

    :param predictions: of N turns.
    :param temperature: one, or one for each turn.
    """
    return replace(predictions, logits=(predictions.logits / temperature).astype(np.float32))


def temperatures(
    calibration: Calibration, predictions: Predictions, notes: Sequence[Collection[str]] = ()
) -> NDArray[np.float64]:
    """What the logits of each turn are divided by, so that confidence is honest.

    :param notes: what is particular about each of the N turns, of `mister_e.conversation.TURN_NOTES`; () =
        nothing is known.
    :return: `[N, 1]`; the modalities that were shown of the turn decide it, and its notes.
    """
    if predictions.shown is None:
        return np.ones((len(predictions), 1))
    text, speech = predictions.shown.T
    chosen = np.where(text & speech, calibration.both, np.where(speech, calibration.speech, calibration.text))
    if notes:
        wordless, crosstalk = (
            np.array([note in own for own in notes], bool) for note in (NO_WORDS, CROSSTALK)
        )
        if calibration.wordless is not None:
            chosen = np.where(speech & ~text & wordless, calibration.wordless, chosen)
        chosen = np.where(speech & crosstalk, chosen * calibration.crosstalk, chosen)
    return chosen[:, None].astype(np.float64)


def fit_temperature(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> float:
    """Temperature under which the labels are likeliest (Guo et al. 2017), between 0.2 and 5.

    :param logits: `[N, C]` of validation turns.
    :param labels: `[N]`.
    :param weights: `[N]`, what each turn counts; None = all the same.
    """
    candidates: NDArray[np.float64] = np.geomspace(0.2, 5.0, 161)
    if weights is None:
        weights = torch.ones(len(labels))
    losses = [
        float((weights * torch.nn.functional.cross_entropy(logits / t, labels, reduction="none")).sum())
        for t in candidates
    ]
    return round(float(candidates[int(np.argmin(losses))]), 3)


def calibrate(mixture: MisterE, validation: Sequence[StoredConversation]) -> Calibration:
    """Fit a temperature on validation for each set of modalities that a turn may have.

    :param validation: labelled conversations of the validation split.
    """
    modes: Mapping[Modalities, Mode] = {"both": "full", "text": "text-only", "speech": "speech-only"}
    return fit_calibration(
        {modalities: [predict(mixture, validation, mode=mode)] for modalities, mode in modes.items()}
    )


def fit_calibration(predictions: Mapping[Modalities, Sequence[Predictions]]) -> Calibration:
    """Fit the temperature of each set of modalities on the turns of which just these were shown.

    A set that no labelled turn was shown with keeps 1.

    :param predictions: of validation, for each set.
    """
    fitted: dict[str, float] = {}
    for modalities, several in predictions.items():
        wanted = np.array([modalities != "speech", modalities != "text"])
        logits, labels = [], []
        for found in several:
            chosen = found.scored if found.shown is None else found.scored & (found.shown == wanted).all(1)
            logits.append(torch.from_numpy(found.logits[chosen]))
            labels.append(torch.from_numpy(found.labels[chosen]))
        if any(len(own) for own in labels):
            fitted[modalities] = fit_temperature(torch.cat(logits), torch.cat(labels))
    return Calibration(**fitted)


def fit_notes(
    calibration: Calibration, *, wordless: Sequence[Predictions] = (), crosstalk: Sequence[Predictions] = ()
) -> Calibration:
    """Fit what the notes of turns change, and leave all other temperatures as they are.

    Where there are no labelled turns of a kind, its value stays.

    :param calibration: of the model that predicted.
    :param wordless: of validation turns with sound and without words, each set by itself: sets of whatever
        size count the same.
    :param crosstalk: of validation turns in which several speak, whose emotion is known.
    """
    changes: dict[str, float] = {}
    if logits := [found.logits[found.scored] for found in wordless if found.scored.any()]:
        labels = [found.labels[found.scored] for found in wordless if found.scored.any()]
        weights = [torch.full((len(own),), 1 / len(own)) for own in labels]
        changes["wordless"] = fit_temperature(
            torch.from_numpy(np.concatenate(logits)),
            torch.from_numpy(np.concatenate(labels)),
            torch.cat(weights),
        )
    if any(found.scored.any() for found in crosstalk):
        usual = [calibrated(found, temperatures(calibration, found)) for found in crosstalk]
        changes["crosstalk"] = fit_temperature(
            torch.cat([torch.from_numpy(found.logits[found.scored]) for found in usual]),
            torch.cat([torch.from_numpy(found.labels[found.scored]) for found in usual]),
        )
    return calibration.model_copy(update=changes)
