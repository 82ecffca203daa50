"""What a paired mixture is chosen, calibrated and scored under: words alone, voices alone, and both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch

from mister_e.encoders.conversations import StoredConversation
from mister_e.inference.calibration import Calibration, fit_calibration
from mister_e.inference.predict import predict
from mister_e.metrics.classification import weighted_f1
from mister_e.model import MisterE
from mister_e.training.settings import PairingConfig
from mister_e.training.stage2.pairing import Voices, replace_speech

#: What draws the clips of the paired conditions: the same ones for every run.
SEED = 0
_SYNTHETIC = (
    "the clips are chosen by the turn's label: the score shows that the mixture uses a voice, and is no"
    " result on the corpus"
)


@dataclass(frozen=True)
class TestCondition:
    """Labelled conversations of a split, shown in one way.

    A turn is calibrated by the modalities that are shown of it; the interval of a score draws conversations
    again, a clip being one.

    :param name: as scores say it.
    :param conversations: what is shown.
    :param among_present: whether only the labels that are there may be chosen, as the corpus has no other.
    :param selects: whether its score counts when an epoch is chosen.
    :param calibrates: the modalities whose temperature is fitted on it; None = of none.
    :param corpora: of the clips; none = the conversations are those of the words' corpus.
    :param note: what is good to know of the score.
    """

    # not a test of pytest's
    __test__: ClassVar[bool] = False

    name: str
    conversations: Sequence[StoredConversation]
    among_present: bool = False
    selects: bool = False
    calibrates: Literal["both", "speech", "text"] | None = None
    corpora: tuple[str, ...] = ()
    note: str = ""


def conditions_of(
    conversations: Sequence[StoredConversation], voices: Voices, pairing: PairingConfig
) -> list[TestCondition]:
    """Show a split in all the ways that a paired mixture has to master.

    :param conversations: of the split, as stored.
    :param voices: clips of the same split.
    :param pairing: how training pairs them.
    """
    random = np.random.default_rng(SEED)
    words = [replace(each, has_speech=torch.zeros_like(each.has_speech)) for each in conversations]

    def paired(agree: float, *, otherwise: bool = False) -> list[StoredConversation]:
        return [replace_speech(each, voices, agree, random, otherwise=otherwise) for each in conversations]

    everything = tuple(voices.places)
    found = [
        TestCondition("text", words, selects=True, calibrates="text"),
        TestCondition("text and statistics", conversations, selects=True, calibrates="both"),
        TestCondition(
            f"text and acted clips, {100 * pairing.agree:.0f} % of the turn's label",
            paired(pairing.agree),
            selects=True,
            calibrates="both",
            note=_SYNTHETIC,
        ),
        TestCondition("voice", voices.each_alone(), selects=True, calibrates="speech", corpora=everything),
        TestCondition("pairs that agree (the words' label)", paired(1.0), note=_SYNTHETIC),
        TestCondition("pairs that disagree (the words' label)", paired(0.0, otherwise=True), note=_SYNTHETIC),
    ]
    for name, places in voices.places.items():
        # of read speech, which has one label, only a free choice tells anything
        several = name in voices.acted and len(voices.labels[places].unique()) > 1
        clips = places.tolist()
        found.append(
            TestCondition(f"voice: {name}", voices.each_alone(clips), among_present=several, corpora=(name,))
        )
        found.append(
            TestCondition(
                f"voice: {name}, as one recording",
                voices.as_one_recording(clips),
                among_present=several,
                calibrates="speech" if name in voices.acted else None,
                corpora=(name,),
            )
        )
    return found


def selection_scores(mixture: MisterE, conditions: Sequence[TestCondition]) -> dict[str, float]:
    """Weighted F1 of the conditions that epochs are chosen by, 0 to 100."""
    scores = {}
    for condition in conditions:
        if condition.selects:
            predictions = predict(mixture, condition.conversations)
            chosen = predictions.scored
            scores[condition.name] = weighted_f1(
                predictions.labels[chosen].tolist(), predictions.logits[chosen].argmax(1).tolist()
            )
    return scores


def calibrate_under(mixture: MisterE, conditions: Sequence[TestCondition]) -> Calibration:
    """Fit each temperature on the conditions that say so.

    :param conditions: of the validation split.
    """
    return fit_calibration(
        {
            modalities: [
                predict(mixture, condition.conversations)
                for condition in conditions
                if condition.calibrates == modalities
            ]
            for modalities in ("both", "speech", "text")
        }
    )
