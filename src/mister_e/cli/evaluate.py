"""`mister-e evaluate`: how well a trained mixture does, and how sure that is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mister_e.cli.messages import exit_codes, plain, say
from mister_e.cli.outputs import to_stdout
from mister_e.cli.progress import shown

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from mister_e.evaluation.scorecard import Scorecard
    from mister_e.evaluation.summary import Evaluation

EPILOG = """
**Examples**

While you still choose: `mister-e evaluate runs/meld --data stores/meld`

Once, when all is chosen: `mister-e evaluate runs/meld --data stores/meld --split test`

As in live use, or without sound: `mister-e evaluate runs/meld --data stores/meld --mode past-only`

Every scoring of the test split is written down in `test_scored.jsonl` in the run, and told.

**Exit codes**: 0 all well; 1 a failure; 2 bad input; 130 Ctrl-C.
"""


def evaluate(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", show_default=False, help="A folder of `mister-e train`, or one seed's in it."
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(
            "--data", metavar="STORE", show_default=False, help="The store that the run was trained on."
        ),
    ],
    split: Annotated[
        Literal["validation", "test"], typer.Option(help="Which split; test is for the end.")
    ] = "validation",
    mode: Annotated[
        Literal["full", "past-only", "text-only", "speech-only"],
        typer.Option(help="Whole conversations, each turn with what came before, or one modality alone."),
    ] = "full",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", show_default="RUN", help="Folder for what is written."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar and no notes.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="MISTER_E_DEBUG", help="Show the traceback of a failure.")
    ] = False,
) -> None:
    """Score every seed of a run: a table here; JSON, a page and pictures in the run."""
    with exit_codes(debug):
        from mister_e.encoders.store import EmbeddingStore

        store = EmbeddingStore.load(data)
        with shown(quiet) as progress:
            from mister_e.evaluation.run import evaluate_run, write_evaluation

            evaluation = evaluate_run(run, store, split=split, mode=mode, progress=progress)
            from rich.console import Console

            to_stdout(render(evaluation, Console()))
            paths = write_evaluation(evaluation, out or run)
        if not quiet:
            if evaluation.test_scored is not None and evaluation.test_scored > 1:
                say("note", f"the test split was scored {evaluation.test_scored} times with this run")
            for path in paths:
                say("wrote", str(path))


def render(evaluation: Evaluation, console: Console) -> str:
    """Draw the scores of every seed, then classes and experts.

    :param evaluation: of one split in one mode.
    :param console: whose width and colours to use; nothing is printed on it.
    """
    from rich.text import Text

    protocol, first = evaluation.protocol, evaluation.first
    head = f"{protocol.corpus.name} · {protocol.split} · {protocol.mode} · chosen on {protocol.selection}"
    size = f"{first.turns:,} turns in {first.conversations:,} conversations"
    with console.capture() as captured:
        console.print(Text(plain(f"{head} · {size}"), style="bold"))
        console.print(_seeds(evaluation))
        console.print()
        console.print(_rows("class", evaluation))
        if evaluation.experts:
            console.print()
            console.print(_rows("expert", evaluation))
    return "".join(line.rstrip() + "\n" for line in captured.get().splitlines())


def _table(*columns: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number else "left")
    return table


def _seeds(evaluation: Evaluation) -> Table:
    """Lay out one row a seed, their mean ± sd, and the ensemble."""
    from mister_e.evaluation.summary import spread_text

    table = _table("", "weighted F1", "95 % interval", "accuracy", "macro F1", "ECE")
    for seed, card in evaluation.cards.items():
        table.add_row(f"seed {seed}", *_cells(card))
    if len(evaluation.cards) > 1:
        scores = evaluation.scores
        means = [spread_text(scores[name]) for name in ("weighted_f1", "accuracy", "macro_f1")]
        table.add_row("mean ± sd", means[0], "", *means[1:], spread_text(scores["ece"], 3), style="bold")
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
    from mister_e.evaluation.summary import spread_text

    if kind == "class":
        table = _table("class", "F1", "precision", "recall", "turns")
        turns = evaluation.first.confusion.sum(1).tolist()
        for (label, own), count in zip(evaluation.classes.items(), turns, strict=True):
            cells = [spread_text(own[name]) for name in ("f1", "precision", "recall")]
            table.add_row(plain(label), *cells, f"{count:,}")
        return table
    table = _table("expert", "weighted F1", "accuracy", "macro F1", "turns")
    for name, own in evaluation.experts.items():
        cells = [spread_text(own[score]) for score in ("weighted_f1", "accuracy", "macro_f1")]
        table.add_row(name, *cells, f"{int(evaluation.first.experts[name].sum()):,}")
    return table
