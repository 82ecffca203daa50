"""An evaluation as one page that opens anywhere, offline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from jinja2 import Environment

from mister_e.analysis.html.assets import asset, digest, environment, palette
from mister_e.evaluation.gate_statistics import GateStatistics
from mister_e.evaluation.summary import Evaluation
from mister_e.experts import EXPERTS
from mister_e.metrics.reliability import DRAWN, Reliability
from mister_e.metrics.summary import mean_std_text

_GROUPS = {
    "all": "all turns",
    "right": "where the mixture is right",
    "wrong": "where it is wrong",
    "complete": "where all experts judged",
}

#: Side of the square of the reliability plot, in its own units.
_SIDE = 300


def render(evaluation: Evaluation) -> str:
    """Self-contained HTML page of an evaluation: no script, nothing loaded from anywhere.

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
            shares=evaluation.confusion / np.maximum(evaluation.confusion.sum(1, keepdims=True), 1),
            curves=[_curve(one) for one in evaluation.reliability],
            bins=_bins(evaluation.reliability[1]),
            trust=_trust(evaluation.gate),
            experts=EXPERTS,
            model=_facts(evaluation.model),
            rules=_rules(evaluation),
            side=_SIDE,
            drawn=DRAWN,
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
    """Places of the bins in the plot."""
    return [
        (f"{_SIDE * confidence / turns:.1f}", f"{_SIDE * (1 - right / turns):.1f}")
        for turns, confidence, right in reliability.sums.tolist()
        if turns >= DRAWN
    ]


def _bins(reliability: Reliability) -> list[dict[str, Any]]:
    """Rows of the reliability table, with each bin's share of the turns for its bar."""
    rows: list[dict[str, Any]] = reliability.to_json()["bins"]
    most = max(row["turns"] for row in rows)
    return [{**row, "height": f"{56 * row['turns'] / most:.1f}"} for row in rows]


def _trust(gate: GateStatistics | None) -> list[tuple[str, int | None, Any]]:
    """Rows of the gate's table: its name, the position of the label it is about, and the trust."""
    if gate is None:
        return []
    groups = [(_GROUPS[name], None, trust) for name, trust in gate.groups.items()]
    return [*groups, *((name, i, trust) for i, (name, trust) in enumerate(gate.classes.items()))]


def _facts(facts: Mapping[str, Any]) -> dict[str, str]:
    """Facts of the model as text."""
    return {
        name: " · ".join(f"{field} {_plain(one)}" for field, one in value.items())
        if isinstance(value, Mapping)
        else _plain(value)
        for name, value in facts.items()
    }


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _rules(evaluation: Evaluation) -> dict[str, str]:
    """The protocol as text."""
    protocol = evaluation.protocol
    rules = {
        "corpus": f"{protocol.corpus.name}: {protocol.corpus.description}",
        "labels": ", ".join(protocol.corpus.labels),
        "scored on": protocol.split,
        "chosen on": protocol.selection,
        "shown to the model": protocol.mode,
    }
    if protocol.seeds:
        rules["seeds"] = ", ".join(str(seed) for seed in protocol.seeds)
    if evaluation.choice is not None:
        rules["taken as"] = ", ".join(
            f"{name}: {label}" if name != label else name for name, label in evaluation.choice.names.items()
        )
    if evaluation.test_scored is not None:
        rules["test split scored with this run"] = _times(evaluation.test_scored)
    rules["corpus table"] = f"SHA-256 {protocol.corpus_sha256[:16]}…"
    for modality, facts in protocol.encoders.items():
        name = facts["name"] or facts["kind"]
        rules[f"{modality} embeddings"] = f"{name}, {facts['dim']} numbers, {facts['identity'][:16]}…"
    rules["versions"] = ", ".join(f"{name} {number}" for name, number in protocol.versions.items())
    return rules


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
