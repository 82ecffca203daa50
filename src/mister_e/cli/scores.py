"""Scores as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from mister_e.cli.messages import plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from mister_e.evaluation.scorecard import Scorecard
    from mister_e.evaluation.summary import Evaluation


def render(evaluation: Evaluation, console: Console) -> str:
    """Draw the scores of every seed, then classes, experts, and the confusion matrix.

    :param evaluation: of one split in one mode.
    :param console: whose width and colours to use; nothing is printed on it.
    """
    from rich.text import Text

    protocol, first = evaluation.protocol, evaluation.first
    head = f"{protocol.corpus.name} · {protocol.split} · {protocol.mode} · chosen on {protocol.selection}"
    with console.capture() as captured:
        console.print(Text(plain(f"{head} · {first.size}"), style="bold"))
        console.print(_seeds(evaluation))
        console.print()
        console.print(_rows("class", evaluation))
        if evaluation.experts:
            console.print()
            console.print(_rows("expert", evaluation))
        if evaluation.choice is not None:
            for line in evaluation.choice.lines():
                console.print(Text(plain(line), style="dim"))
        console.print()
        for part in _confusion(evaluation, console.width):
            console.print(part)
    return "".join(line.rstrip() + "\n" for line in captured.get().splitlines())


def render_conditions(evaluations: Mapping[str, Evaluation], console: Console) -> str:
    """Draw the scores under each condition; of several seeds, mean ± sd.

    :param evaluations: of `mister_e.evaluation.trained_run.evaluate_conditions`.
    :param console: whose width and colours to use; nothing is printed on it.
    """
    from rich.text import Text

    from mister_e.metrics.summary import mean_std_text

    table = _table("", "turns", "weighted F1", "95 % interval", "accuracy", "macro F1", "ECE")
    for name, evaluation in evaluations.items():
        turns = f"{evaluation.first.turns:,}"
        if len(evaluation.cards) == 1:
            table.add_row(plain(name), turns, *_cells(evaluation.first))
            continue
        scores = evaluation.scores
        means = [mean_std_text(scores[score]) for score in ("weighted_f1", "accuracy", "macro_f1")]
        table.add_row(plain(name), turns, means[0], "", *means[1:], mean_std_text(scores["ece"], 3))
    protocol = next(iter(evaluations.values())).protocol
    head = f"{protocol.corpus.name} and clips · {protocol.split} · chosen on {protocol.selection}"
    with console.capture() as captured:
        console.print(Text(plain(head), style="bold"))
        console.print(table)
    return "".join(line.rstrip() + "\n" for line in captured.get().splitlines())


def _table(*columns: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for number, name in enumerate(columns):
        table.add_column(Text(name), justify="right" if number else "left")
    return table


def _seeds(evaluation: Evaluation) -> Table:
    """Lay out one row a seed, their mean ± sd, and the ensemble."""
    from mister_e.metrics.summary import mean_std_text

    table = _table("", "weighted F1", "95 % interval", "accuracy", "macro F1", "ECE")
    for name, card in evaluation.rows:
        if card is not evaluation.ensemble:
            table.add_row(plain(name), *_cells(card))
    if len(evaluation.cards) > 1:
        scores = evaluation.scores
        means = [mean_std_text(scores[name]) for name in ("weighted_f1", "accuracy", "macro_f1")]
        table.add_row("mean ± sd", means[0], "", *means[1:], mean_std_text(scores["ece"], 3), style="bold")
    if evaluation.ensemble is not None:
        table.add_row("ensemble", *_cells(evaluation.ensemble))
    return table


def _cells(card: Scorecard) -> list[str]:
    interval = card.intervals.get("weighted_f1")
    between = "" if interval is None else f"{interval[0]:.1f} - {interval[1]:.1f}"
    scores = card.scores
    weighted, accuracy, macro = (f"{scores[name]:.1f}" for name in ("weighted_f1", "accuracy", "macro_f1"))
    return [weighted, between, accuracy, macro, f"{scores['ece']:.3f}"]


def _rows(kind: Literal["class", "expert"], evaluation: Evaluation) -> Table:
    """Lay out one row a class, or one an expert."""
    from mister_e.metrics.summary import mean_std_text

    if kind == "class":
        from rich.text import Text

        table = _table("class", "F1", "precision", "recall", "turns")
        turns = evaluation.first.confusion.sum(1).tolist()
        for (label, own), count in zip(evaluation.classes.items(), turns, strict=True):
            cells = [mean_std_text(own[name]) for name in ("f1", "precision", "recall")]
            table.add_row(Text(plain(label)), *cells, f"{count:,}")
        return table
    table = _table("expert", "weighted F1", "accuracy", "macro F1", "turns")
    for name, own in evaluation.experts.items():
        cells = [mean_std_text(own[score]) for score in ("weighted_f1", "accuracy", "macro_f1")]
        table.add_row(name, *cells, f"{int(evaluation.first.experts[name].sum()):,}")
    return table


def _confusion(evaluation: Evaluation, width: int) -> Iterator[Table | Text]:
    """Yield the confusion matrix and what its numbers are.

    :param width: of the terminal; where names of classes take more, columns are headed by numbers.
    """
    from rich.text import Text

    confusion = evaluation.confusion
    rows, columns = ([plain(label) for label in evaluation.first.labels] for _ in range(2))
    cells = [[f"{turns:,}" for turns in row] for row in confusion.tolist()]
    corner = "true \\ predicted"
    widest = max(len(corner), *map(len, rows)) + 1
    needed = [max(len(name), *(len(row[k]) for row in cells)) + 1 for k, name in enumerate(columns)]
    if widest + sum(needed) > width:
        rows = [f"{number} {name}" for number, name in enumerate(rows)]
        columns = [str(number) for number in range(len(columns))]
    table = _table(corner, *columns)
    for name, row, turns in zip(rows, cells, confusion.sum(1), strict=True):
        if turns:
            table.add_row(Text(name), *row)
    yield table
    summed = f", summed over {len(evaluation.cards)} seeds" if len(evaluation.cards) > 1 else ""
    yield Text(f"turns by true class (rows) and predicted class (columns){summed}", style="dim")
