"""Scores as tables for the terminal."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from mister_e.cli.scores import render
from mister_e.corpora.base import Protocol
from mister_e.evaluation.protocol import ScoreProtocol
from mister_e.evaluation.scorecard import score
from mister_e.evaluation.summary import Evaluation
from mister_e.inference.predictions import Predictions
from mister_e.labels import LabelSet


def evaluation(labels: tuple[str, ...], truth: list[int], predicted: list[list[int]]) -> Evaluation:
    """Scores of a seed for each list of predictions."""
    cards = {}
    for seed, places in enumerate(predicted):
        logits = np.eye(len(labels), dtype=np.float32)[places]
        ids = [f"u{n}" for n in range(len(truth))]
        found = Predictions(
            ids, np.arange(len(ids)), ids, np.array(truth), logits, np.ones(len(ids), dtype=bool)
        )
        cards[seed] = score(found, LabelSet(labels))
    protocol = Protocol("Mine", "table", LabelSet(labels), "Labels.")
    return Evaluation(ScoreProtocol(protocol, "test", "full", tuple(cards), "ab" * 32, {}), {}, cards)


def drawn(result: Evaluation, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    return render(result, console).splitlines()


def matrix(lines: list[str]) -> list[list[str]]:
    """Rows of the confusion matrix."""
    start = next(n for n, line in enumerate(lines) if line.startswith("true \\ predicted"))
    assert lines[-1].startswith("turns by true class (rows) and predicted class (columns)")
    return [lines[start].split()[3:], *(line.split() for line in lines[start + 2 : -1] if line)]


def test_the_confusion_matrix_ends_the_table():
    labels = ("calm", "glad", "mad")
    result = evaluation(labels, [0, 0, 1, 1, 1], [[0, 2, 1, 1, 0], [0, 0, 1, 1, 2]])
    lines = drawn(result)
    # a class that no turn has is predicted, and no row
    assert matrix(lines) == [[*labels], ["calm", "3", "0", "1"], ["glad", "1", "4", "1"]]
    assert lines[-1].endswith("summed over 2 seeds")
    assert result.to_json()["seeds"]["0"]["confusion"]["turns"] == [[1, 0, 1], [1, 2, 0], [0, 0, 0]]


@pytest.mark.parametrize("width", [60, 80])
def test_many_classes_are_numbered_where_their_names_take_too_much(width):
    labels = tuple(f"quite a long name {n}" for n in range(9))
    lines = drawn(evaluation(labels, list(range(9)), [list(range(9))]), width)
    found = matrix(lines)
    assert found[0] == [str(n) for n in range(9)]
    assert max(map(len, lines)) <= width
    assert any(line.startswith("8 quite a long") for line in lines)


def test_names_of_classes_are_no_markup_and_steer_no_terminal():
    text = "\n".join(drawn(evaluation(("[red]a[/red]", "b\x1b[2J"), [0, 1, 1], [[0, 1, 0]])))
    assert text.count("[red]a[/red]") == 3
    assert "\x1b" not in text
