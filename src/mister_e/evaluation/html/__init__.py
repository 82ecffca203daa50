"""An evaluation as one HTML page that opens offline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from jinja2 import Environment

from mister_e.analysis.html.assets import asset, digest, environment, palette
from mister_e.evaluation.gate_statistics import GateStatistics, GateSummary
from mister_e.evaluation.summary import Evaluation
from mister_e.experts import EXPERTS
from mister_e.metrics.reliability import MIN_PLOTTED_TURNS, Reliability
from mister_e.metrics.summary import mean_std_text

_GROUPS = {
    "all": "all turns",
    "right": "where the mixture is right",
    "wrong": "where it is wrong",
    "complete": "where all experts have a prediction",
}

#: Side of the square reliability plot, in units of its SVG.
_SIDE = 300


def render(evaluation: Evaluation) -> str:
    """Self-contained HTML page of an evaluation, without scripts and without anything to load.

    :param evaluation: of one split in one mode.
    :return: the page.
    """
    labels = evaluation.first.labels
    style = asset("mister_e.analysis.html", "page.css") + asset(__name__, "page.css") + palette(labels)
    page: str = (
        _environment()
        .get_template("page.html")
        .render(
            policy=f"default-src 'none'; style-src '{digest(style)}'; base-uri 'none'; form-action 'none'",
            style=style,
            evaluation=evaluation,
            protocol=evaluation.protocol,
            card=evaluation.first,
            rows=evaluation.rows,
            notes=[*(evaluation.choice.lines() if evaluation.choice else ()), *evaluation.notes],
            fractions=evaluation.confusion / np.maximum(evaluation.confusion.sum(1, keepdims=True), 1),
            curves=[_curve(reliability) for reliability in evaluation.reliability],
            bins=_bins(evaluation.reliability[1]),
            gate_rows=_gate_rows(evaluation.gate),
            experts=EXPERTS,
            model=_metadata(evaluation.model),
            protocol_rows=_protocol_rows(evaluation),
            side=_SIDE,
            drawn=MIN_PLOTTED_TURNS,
        )
    )
    return page


@cache
def _environment() -> Environment:
    """Templates of this folder, with the formats of numbers."""
    templates = environment(__name__)
    templates.filters |= {
        "mean_std": mean_std_text,
        "one_place": "{:.1f}".format,
        "three_places": "{:.3f}".format,
        "percent": "{:.0%}".format,
        "thousands": "{:,}".format,
    }
    return templates


def _curve(reliability: Reliability) -> list[tuple[str, str]]:
    """Points of the reliability curve in the plot: x and y of each bin."""
    return [
        (f"{_SIDE * confidence / turns:.1f}", f"{_SIDE * (1 - right / turns):.1f}")
        for turns, confidence, right in reliability.sums.tolist()
        if turns >= MIN_PLOTTED_TURNS
    ]


def _bins(reliability: Reliability) -> list[dict[str, Any]]:
    """Rows of the reliability table, with the height of each bin's bar."""
    rows: list[dict[str, Any]] = reliability.to_json()["bins"]
    max_turns = max(row["turns"] for row in rows)
    return [{**row, "height": f"{56 * row['turns'] / max_turns:.1f}"} for row in rows]


def _gate_rows(gate: GateStatistics | None) -> list[tuple[str, int | None, GateSummary]]:
    """Rows of the gate's table: name, position of the label (None = not of one label), and weights."""
    if gate is None:
        return []
    groups = [(_GROUPS[name], None, summary) for name, summary in gate.groups.items()]
    return [*groups, *((name, i, summary) for i, (name, summary) in enumerate(gate.classes.items()))]


def _metadata(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Metadata of the model as text."""
    return {
        name: " · ".join(f"{field} {_text(inner)}" for field, inner in value.items())
        if isinstance(value, Mapping)
        else _text(value)
        for name, value in metadata.items()
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _protocol_rows(evaluation: Evaluation) -> dict[str, str]:
    """The protocol as text, by name."""
    protocol = evaluation.protocol
    rows = {
        "corpus": f"{protocol.corpus.name}: {protocol.corpus.description}",
        "labels": ", ".join(protocol.corpus.labels),
        "scored on": protocol.split,
        "chosen on": protocol.selection,
        "shown to the model": protocol.mode,
    }
    if protocol.seeds:
        rows["seeds"] = ", ".join(str(seed) for seed in protocol.seeds)
    if evaluation.choice is not None:
        rows["class to label"] = ", ".join(
            f"{name}: {label}" if name != label else name for name, label in evaluation.choice.names.items()
        )
    if evaluation.test_scored is not None:
        rows["test split scored with this run"] = _times(evaluation.test_scored)
    rows["corpus table"] = f"SHA-256 {protocol.corpus_sha256[:16]}…"
    for modality, encoder in protocol.encoders.items():
        name = encoder["name"] or encoder["kind"]
        rows[f"{modality} embeddings"] = f"{name}, {encoder['dim']} numbers, {encoder['identity'][:16]}…"
    rows["versions"] = ", ".join(f"{name} {number}" for name, number in protocol.versions.items())
    return rows


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
