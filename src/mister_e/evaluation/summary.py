"""An evaluation: one scorecard a seed, and mean and standard deviation over the seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mister_e.errors import InputError
from mister_e.evaluation.gate_statistics import GateStatistics
from mister_e.evaluation.label_mapping import Choice
from mister_e.evaluation.protocol import ScoreProtocol
from mister_e.evaluation.scorecard import Scorecard
from mister_e.experts import EXPERTS
from mister_e.metrics.classification import class_scores, overall_scores
from mister_e.metrics.reliability import Reliability
from mister_e.metrics.summary import MeanStd, mean_std, mean_std_by_name

FORMAT = 1


@dataclass(frozen=True)
class Evaluation:
    """Result of `mister-e evaluate`: one scorecard a seed, and what they give together.

    :param protocol: how the scores were made.
    :param model: metadata of the model, JSON-ready.
    :param cards: seed to scorecard.
    :param ensemble: scorecard of the seeds' mean probabilities; None = a single seed.
    :param test_scored: how often the test split was scored with this run so far, this time included;
        None = another split was scored.
    :param name: name of the model folder that was scored; None = a run, seed by seed.
    :param choice: how the classes of the data map to the model's labels; None = they are the same.
    :param notes: warnings and notes to show beside the scores.
    """

    protocol: ScoreProtocol
    model: Mapping[str, Any]
    cards: Mapping[int, Scorecard]
    ensemble: Scorecard | None = None
    test_scored: int | None = None
    name: str | None = None
    choice: Choice | None = None
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> list[tuple[str, Scorecard]]:
        """Name and scorecard: each seed, or the model folder; the ensemble last."""
        rows = [(self.name or f"seed {seed}", card) for seed, card in self.cards.items()]
        return rows + ([("ensemble", self.ensemble)] if self.ensemble else [])

    @property
    def first(self) -> Scorecard:
        """Scorecard of the first seed; labels, turns and supports are the same in all."""
        return next(iter(self.cards.values()))

    @property
    def scores(self) -> dict[str, MeanStd]:
        """Mean and standard deviation of each overall score."""
        return mean_std_by_name([card.scores for card in self.cards.values()])

    @property
    def classes(self) -> dict[str, dict[str, MeanStd]]:
        """Label to precision, recall and F1."""
        seeds = [class_scores(card.confusion) for card in self.cards.values()]
        return {
            label: {
                name: mean_std([float(scores[name][i]) for scores in seeds], places=4) for name in seeds[0]
            }
            for i, label in enumerate(self.first.labels)
        }

    @property
    def experts(self) -> dict[str, dict[str, MeanStd]]:
        """Expert to its overall scores, over the turns that it has a prediction for."""
        cards = list(self.cards.values())
        shared = [name for name in self.first.experts if all(name in card.experts for card in cards)]
        return {
            name: mean_std_by_name([_floats(overall_scores(card.experts[name])) for card in cards])
            for name in shared
        }

    @property
    def parts(self) -> dict[str, dict[str, MeanStd]]:
        """Part of the split, such as "improvised", to its overall scores."""
        cards = self.cards.values()
        return {
            name: mean_std_by_name([_floats(overall_scores(card.parts[name][1])) for card in cards])
            for name in self.first.parts
        }

    @property
    def gate(self) -> GateStatistics | None:
        """Gate weights, averaged over the seeds; None = the model has no gate."""
        seeds = [card.gate for card in self.cards.values() if card.gate is not None]
        return GateStatistics.mean_of(seeds) if seeds else None

    @property
    def confusion(self) -> NDArray[np.int64]:
        """Turns by true and predicted class, summed over the seeds `[C, C]`."""
        total: NDArray[np.int64] = np.sum([card.confusion for card in self.cards.values()], axis=0)
        return total

    @property
    def reliability(self) -> tuple[Reliability, Reliability]:
        """Reliability before and after calibration, over the turns of all seeds together."""
        cards = self.cards.values()
        before = np.sum([card.before.sums for card in cards], axis=0)
        return Reliability(before), Reliability(np.sum([card.after.sums for card in cards], axis=0))

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dict; `format` grows when the layout changes."""
        return {
            "format": FORMAT,
            "protocol": self.protocol.to_json(),
            "model": dict(self.model),
            "test_scored": self.test_scored,
            "choice": None if self.choice is None else self.choice.to_json(),
            "notes": list(self.notes),
            "summary": {
                "scores": self.scores,
                "classes": self.classes,
                "experts": self.experts,
                "parts": self.parts,
                "gate": None if self.gate is None else self.gate.to_json(),
            },
            "seeds": {str(seed): card.to_json() for seed, card in self.cards.items()},
            "ensemble": None if self.ensemble is None else self.ensemble.to_json(),
        }


def _floats(scores: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
    return {name: float(value) for name, value in scores.items()}


def card_row(evaluation: Mapping[str, Any], weights: str) -> dict[str, Any]:
    """Scores of an evaluation as a row of a model card.

    :param evaluation: JSON of `Evaluation.to_json`, of a run or of a model folder.
    :param weights: SHA-256 of the mixture's weights whose scores are wanted.
    :return: `turns`, scores 0 to 100, their 95 % interval, F1 of each class, calibration error and mean
        confidence 0 to 1, mean weights of the gate, and weighted F1 of each expert.
    :raises InputError: it is of other weights.
    :raises KeyError: it is no evaluation.
    """
    model = evaluation["model"]
    if evaluation["protocol"]["seeds"]:  # a run, seed by seed
        seeds = [seed for seed in evaluation["seeds"] if model["weights"].get(f"seed {seed}") == weights]
    else:
        seeds = ["0"] if model["mixture"] == weights else []
    if not seeds:
        raise InputError("it scores other weights than those of this model")
    card = evaluation["seeds"][seeds[0]]
    bins = [bin_ for bin_ in card["calibration"]["after"]["bins"] if bin_["turns"]]
    scores, gate = card["scores"], (card["gate"] or {}).get("all")
    interval = card["intervals"].get("weighted_f1")
    return {
        "turns": card["turns"],
        **{name: round(scores[name], 2) for name in ("weighted_f1", "accuracy", "macro_f1")},
        **({"interval": [round(edge, 1) for edge in interval]} if interval else {}),
        "f1": {row["label"]: round(row["f1"], 2) for row in card["classes"] if row["support"]},
        "ece": round(scores["ece"], 4),
        "confidence": round(sum(b["turns"] * b["confidence"] for b in bins) / card["turns"], 3),
        "gate": [round(gate[expert]["mean"], 3) for expert in EXPERTS] if gate else [],
        "experts": {name: round(row["weighted_f1"], 2) for name, row in card["experts"].items()},
    }
