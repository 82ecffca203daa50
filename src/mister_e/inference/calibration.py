"""Temperatures that make confidence honest (Guo et al. 2017), fitted on validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

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
    :param uncertain_below: turns of a lower calibrated confidence, 0 to 1, are shown as uncertain.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    both: float = Field(1.0, gt=0)
    speech: float = Field(1.0, gt=0)
    text: float = Field(1.0, gt=0)
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


def temperatures(calibration: Calibration, predictions: Predictions) -> NDArray[np.float64]:
    """What the logits of each turn are divided by, so that confidence is honest.

    :return: `[N, 1]`; the modalities that were shown of the turn decide it.
    """
    if predictions.shown is None:
        return np.ones((len(predictions), 1))
    text, speech = predictions.shown.T
    chosen = np.where(text & speech, calibration.both, np.where(speech, calibration.speech, calibration.text))
    return chosen[:, None].astype(np.float64)


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Temperature under which the labels are likeliest (Guo et al. 2017), between 0.2 and 5.

    :param logits: `[N, C]` of validation turns.
    :param labels: `[N]`.
    """
    candidates: NDArray[np.float64] = np.geomspace(0.2, 5.0, 161)
    losses = [float(torch.nn.functional.cross_entropy(logits / t, labels)) for t in candidates]
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
