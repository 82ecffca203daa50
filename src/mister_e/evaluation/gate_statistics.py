"""Whom the gate trusts, and whether it is right to."""

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
    """The gate's weights over some turns; each row in the order of `EXPERTS`.

    :param turns: how many.
    :param mean: of each expert's weight.
    :param sd: of each expert's weight over the turns.
    :param leads: share of the turns where each weighs most.
    """

    turns: int
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    leads: tuple[float, ...]

    @classmethod
    def of(cls, gate: NDArray[np.float32]) -> GateSummary:
        """Count weights `[N, 3]`, N > 0."""
        weights = gate.astype(np.float64)
        first = np.bincount(weights.argmax(1), minlength=len(EXPERTS)) / len(weights)
        return cls(len(weights), _row(weights.mean(0)), _row(weights.std(0)), _row(first))

    @classmethod
    def mean_of(cls, several: Sequence[GateSummary]) -> GateSummary:
        """Average what several runs say of a group."""
        rows = [np.mean([getattr(one, name) for one in several], 0) for name in ("mean", "sd", "leads")]
        return cls(round(float(np.mean([one.turns for one in several]))), *map(_row, rows))

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dict, expert by expert."""
        rows = zip(EXPERTS, self.mean, self.sd, self.leads, strict=True)
        return {
            "turns": self.turns,
            **{
                name: {"mean": round(mean, 4), "sd": round(sd, 4), "leads": round(leads, 4)}
                for name, mean, sd, leads in rows
            },
        }


@dataclass(frozen=True)
class GateStatistics:
    """Gate weights over all turns and over parts of them; a part without turns is left out.

    :param groups: "all", "right", "wrong" (of the mixture's predictions), and "complete": the turns on
        which every expert judged.
    :param classes: by the turns' true label.
    """

    groups: Mapping[str, GateSummary]
    classes: Mapping[str, GateSummary]

    @classmethod
    def mean_of(cls, several: Sequence[GateStatistics]) -> GateStatistics:
        """Average several runs; a group that is missing in one of them is averaged over the others."""
        return cls(_averaged([one.groups for one in several]), _averaged([one.classes for one in several]))

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dict."""
        return {
            **{name: trust.to_json() for name, trust in self.groups.items()},
            "classes": {name: trust.to_json() for name, trust in self.classes.items()},
        }


def gate_statistics(
    gate: NDArray[np.float32],
    present: NDArray[np.bool_],
    right: NDArray[np.bool_],
    truth: NDArray[np.int64],
    labels: LabelSet,
) -> GateStatistics:
    """Count whom the gate trusts.

    :param gate: weights `[N, 3]`.
    :param present: the experts that judged `[N, 3]`.
    :param right: whether the mixture is right `[N]`.
    :param truth: true classes `[N]`.
    :param labels: their names.
    """
    everything = np.ones(len(gate), dtype=np.bool_)
    complete: NDArray[np.bool_] = np.logical_and.reduce(present, axis=1)
    groups = {"all": everything, "right": right, "wrong": ~right, "complete": complete}
    classes = {name: truth == number for number, name in enumerate(labels)}
    return GateStatistics(_each(gate, groups), _each(gate, classes))


def _each(gate: NDArray[np.float32], groups: Mapping[str, NDArray[np.bool_]]) -> dict[str, GateSummary]:
    return {name: GateSummary.of(gate[chosen]) for name, chosen in groups.items() if chosen.any()}


def _averaged(several: Sequence[Mapping[str, GateSummary]]) -> dict[str, GateSummary]:
    names = dict.fromkeys(name for groups in several for name in groups)
    return {
        name: GateSummary.mean_of([groups[name] for groups in several if name in groups]) for name in names
    }


def _row(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
