"""Statistics of the gate's weights: of all turns, by true class, and where the mixture is right or wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mister_e.experts import EXPERTS
from mister_e.labels import LabelSet


@dataclass(frozen=True)
class GateSummary:
    """The gate's weights over some turns, one number an expert, in the order of `EXPERTS`.

    :param turns: how many.
    :param mean: mean of each expert's weight, 0 to 1.
    :param sd: standard deviation of each expert's weight over the turns.
    :param leads: fraction of the turns where each expert has the largest weight.
    """

    turns: int
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    leads: tuple[float, ...]

    @classmethod
    def of(cls, gate: NDArray[np.float32]) -> GateSummary:
        """Summarise weights `[N, 3]` of N > 0 turns."""
        weights = gate.astype(np.float64)
        leads = np.bincount(weights.argmax(1), minlength=len(EXPERTS)) / len(weights)
        return cls(len(weights), _row(weights.mean(0)), _row(weights.std(0)), _row(leads))

    @classmethod
    def mean_of(cls, summaries: Sequence[GateSummary]) -> GateSummary:
        """Average the summaries of several runs."""
        turns = round(float(np.mean([summary.turns for summary in summaries])))
        mean, std, leads = (
            _row(np.mean([getattr(summary, name) for summary in summaries], 0))
            for name in ("mean", "sd", "leads")
        )
        return cls(turns, mean, std, leads)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dict, expert by expert."""
        rows = zip(EXPERTS, self.mean, self.sd, self.leads, strict=True)
        return {
            "turns": self.turns,
            **{
                name: {"mean": round(mean, 4), "sd": round(std, 4), "leads": round(leads, 4)}
                for name, mean, std, leads in rows
            },
        }


@dataclass(frozen=True)
class GateStatistics:
    """Gate weights over all turns and over groups of them; a group without turns is left out.

    :param groups: "all", "right" and "wrong" (the mixture's prediction), and "complete": turns for which
        every expert has a prediction.
    :param classes: turns by their true label.
    """

    groups: Mapping[str, GateSummary]
    classes: Mapping[str, GateSummary]

    @classmethod
    def mean_of(cls, runs: Sequence[GateStatistics]) -> GateStatistics:
        """Average several runs; a group that one of them lacks is averaged over the others."""
        return cls(_averaged([run.groups for run in runs]), _averaged([run.classes for run in runs]))

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dict."""
        return {
            **{name: summary.to_json() for name, summary in self.groups.items()},
            "classes": {name: summary.to_json() for name, summary in self.classes.items()},
        }


def gate_statistics(
    gate: NDArray[np.float32],
    present: NDArray[np.bool_],
    right: NDArray[np.bool_],
    truth: NDArray[np.int64],
    labels: LabelSet,
) -> GateStatistics:
    """Summarise the gate's weights by group and by class.

    :param gate: weights `[N, 3]`.
    :param present: the experts that have a prediction `[N, 3]`.
    :param right: whether the mixture's prediction is right `[N]`.
    :param truth: true classes `[N]`.
    :param labels: names of the classes.
    """
    everything = np.ones(len(gate), dtype=np.bool_)
    complete: NDArray[np.bool_] = np.logical_and.reduce(present, axis=1)
    groups = {"all": everything, "right": right, "wrong": ~right, "complete": complete}
    classes = {name: truth == number for number, name in enumerate(labels)}
    return GateStatistics(_summaries(gate, groups), _summaries(gate, classes))


def _summaries(gate: NDArray[np.float32], groups: Mapping[str, NDArray[np.bool_]]) -> dict[str, GateSummary]:
    return {name: GateSummary.of(gate[chosen]) for name, chosen in groups.items() if chosen.any()}


def _averaged(runs: Sequence[Mapping[str, GateSummary]]) -> dict[str, GateSummary]:
    names = dict.fromkeys(name for groups in runs for name in groups)
    return {name: GateSummary.mean_of([groups[name] for groups in runs if name in groups]) for name in names}


def _row(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
