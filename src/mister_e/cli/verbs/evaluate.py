"""`mister-e evaluate`: how well a trained mixture or a model folder does, and how sure that is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mister_e.cli.messages import exit_codes, plain, say
from mister_e.cli.options import (
    Debug,
    MaxPieces,
    PieceSeconds,
    Quiet,
    VoiceEncoderName,
    VoiceStoreFolders,
    read_pairs,
)
from mister_e.cli.outputs import to_stdout
from mister_e.cli.progress import progress_bar
from mister_e.errors import InputError
from mister_e.progress import Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from mister_e.evaluation.labelled import Labelled
    from mister_e.evaluation.scorecard import Scorecard
    from mister_e.evaluation.summary import Evaluation
    from mister_e.inference.predict import Mode

EPILOG = """
**Examples**

While you still choose: `mister-e evaluate runs/meld --data stores/meld`

Once, when all is chosen: `mister-e evaluate runs/meld --data stores/meld --split test`

As in live use, or without sound: `mister-e evaluate runs/meld --data stores/meld --mode past-only`

A run of a recipe with `pairing:`, with words alone, voices alone and both:
`mister-e evaluate runs/mini --data stores/meld --voices stores/ravdess --speech runs/mini-speech/seed-0`

A model folder on a corpus: `mister-e evaluate --model mini --data corpora/meld --split test`

On labelled clips, by the voice: `mister-e evaluate --model mini --data clips/ --mode speech-only`

Plain read speech, which should come out neutral: `mister-e evaluate --model mini --data librispeech
--map unlabelled_read=neutral --mode speech-only --split test`

Clips are a folder with a `manifest.csv` with the columns file, emotion and, if known, text and speaker;
each clip is predicted by itself, its sound relative to that of the whole folder, as a turn's is to its
recording; with `--alone` a clip is a recording of its own. Where actors speak the same sentences in every
emotion, words say nothing of it:
`--mode speech-only` is the honest choice. Classes are matched by name (`happy` is `joy`); the model chooses
among those that are there, or freely where there is one alone. With `--split` the clips of some voices alone
are scored, split as by `mister-e prepare clips`: give the `--seed`, `--piece-seconds` and `--max-pieces` that
the clips were prepared with, for a voice without a whole piece is in no split.

Every scoring of the test split is written down in `test_scored.jsonl` in the run, and told.

**Exit codes**: 0 all well; 1 a failure; 2 bad input; 130 Ctrl-C.
"""


def evaluate(
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN", show_default=False, help="A folder of `mister-e train`, or one seed's in it."
        ),
    ] = None,
    *,
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            metavar="DATA",
            show_default=False,
            help="Of a RUN, the store that it was trained on. With --model, a prepared corpus, or a folder"
            " of labelled clips with a manifest.csv.",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            show_default=False,
            help="In place of a RUN: a bundled name (see `mister-e models`), a model folder or a Hub id.",
        ),
    ] = None,
    split: Annotated[
        Literal["train", "validation", "test"] | None,
        typer.Option(
            show_default=False,
            help="Of a RUN: validation (default), or test, which is for the end. Of a corpus with --model:"
            " any; default test. Of clips: voices that are split as by mister-e prepare; default all.",
        ),
    ] = None,
    mode: Annotated[
        Literal["full", "past-only", "text-only", "speech-only"],
        typer.Option(help="Whole conversations, each turn with what came before, or one modality alone."),
    ] = "full",
    voices: VoiceStoreFolders = None,
    speech: VoiceEncoderName = None,
    alone: Annotated[
        bool, typer.Option("--alone", help="Take each clip of a folder as a recording of its own.")
    ] = False,
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="NAME=LABEL",
            show_default=False,
            help="With --model: the label of a class whose name does not tell it. May be repeated.",
        ),
    ] = None,
    piece_seconds: PieceSeconds = None,
    max_pieces: MaxPieces = None,
    seed: Annotated[int, typer.Option(help="Which voices go into which split of clips.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            show_default=False,
            help="Folder for what is written. Default: RUN; with --model, evaluation-MODEL-DATA here.",
        ),
    ] = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Score a run or a model folder: a table here; JSON, a page and pictures in a folder."""
    with exit_codes(debug):
        if (run is None) == (model is None):
            raise InputError(
                "give a RUN of mister-e train with its store, or --model MODEL with a corpus or clips:"
                f" {'neither' if run is None else 'both'} was given"
            )
        of_clips = {"--alone": alone, "--map": label, "--piece-seconds": piece_seconds}
        of_clips |= {"--max-pieces": max_pieces, "--seed": seed}
        if model is None:
            for option, value in of_clips.items():
                if value:
                    raise InputError(f"{option} is for a folder of clips with --model; leave it out")
        if voices or speech:
            _conditions(run, data, voices or [], speech, split, mode, out, quiet=quiet)
            return
        with progress_bar(quiet) as progress:
            if model is not None:
                from mister_e.evaluation.labelled import read_labelled

                # bad data is told without waiting for the model
                labelled = read_labelled(
                    data,
                    split,
                    alone=alone,
                    seed=seed,
                    piece_seconds=piece_seconds,
                    max_pieces=max_pieces,
                )
                names = read_pairs("--map", label, "unlabelled_read=neutral")
                evaluation, out = _of_model(model, data, labelled, names, mode, out, progress)
            else:
                assert run is not None
                evaluation, out = _of_run(run, data, split, mode, progress), out or run
            from rich.console import Console

            from mister_e.evaluation.trained_run import write_evaluation

            to_stdout(render(evaluation, Console()))
            paths = write_evaluation(evaluation, out)
        if not quiet:
            if evaluation.test_scored is not None and evaluation.test_scored > 1:
                say("note", f"the test split was scored {evaluation.test_scored} times with this run")
            for note in evaluation.notes:
                say("note", note)
            for path in paths:
                say("wrote", str(path))


def _of_run(run: Path, data: Path, split: str | None, mode: Mode, progress: Progress) -> Evaluation:
    """Score what `mister-e train` made."""
    from mister_e.encoders.store import EmbeddingStore

    store = EmbeddingStore.load(data)
    from mister_e.evaluation.trained_run import evaluate_run

    return evaluate_run(run, store, split=split or "validation", mode=mode, progress=progress)


def _conditions(
    run: Path | None,
    data: Path,
    folders: list[Path],
    speech: str | None,
    split: str | None,
    mode: Mode,
    out: Path | None,
    *,
    quiet: bool,
) -> None:
    """Score a paired run under its conditions: a table here, a JSON of each in a folder."""
    if run is None:
        raise InputError("--voices and --speech are for a RUN; with --model, give clips as --data")
    if mode != "full":
        raise InputError(f"--mode {mode}: the conditions of --voices say what is shown; leave --mode out")
    from rich.console import Console

    from mister_e.encoders.store import EmbeddingStore
    from mister_e.evaluation.trained_run import evaluate_conditions, write_conditions
    from mister_e.training.stage2.pairing import VoiceStores

    store, voices = EmbeddingStore.load(data), VoiceStores.load(folders, speech)
    assert voices is not None
    with progress_bar(quiet) as progress:
        found = evaluate_conditions(run, store, voices, split=split or "validation", progress=progress)
        to_stdout(render_conditions(found, Console()))
        paths = write_conditions(found, out or run)
    if not quiet:
        times = next(iter(found.values())).test_scored
        if times is not None and times > 1:
            say("note", f"the test split was scored {times} times with this run")
        for note in dict.fromkeys(note for evaluation in found.values() for note in evaluation.notes):
            say("note", f"where clips are beside words, {note}")
        for path in paths:
            say("wrote", str(path))


def _of_model(
    model: str,
    data: Path,
    labelled: Labelled,
    label_names: dict[str, str],
    mode: Mode,
    out: Path | None,
    progress: Progress,
) -> tuple[Evaluation, Path]:
    """Score a model folder; tell where the results go as well."""
    progress("loading the model", 0, 0)
    from mister_e.evaluation.model_folder import evaluate_model
    from mister_e.inference.model_folder import ModelFolder
    from mister_e.inference.predictor import Predictor

    predictor = Predictor(ModelFolder.from_pretrained(model))
    name = re.sub(r"[^\w.-]+", "-", predictor.model.config.name)
    out = out or Path(f"evaluation-{name}-{data.resolve().name}")
    _check_out(out, data)
    evaluation = evaluate_model(predictor, labelled, mode=mode, label_names=label_names, progress=progress)
    return evaluation, out


def _check_out(out: Path, data: Path) -> None:
    """Refuse, before anything is scored, to write where the data or this package lie.

    :raises InputError: names the folder.
    """
    place = out.resolve()
    for folder, what in (
        (data.resolve(), "the data"),
        (Path(__file__).resolve().parents[2], "mister-e itself"),
    ):
        if place.is_relative_to(folder):
            raise InputError(f"{out}: lies in {folder}, which holds {what}; give another folder with --out")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; give a folder with --out")


def render(evaluation: Evaluation, console: Console) -> str:
    """Draw the scores of every seed, then classes and experts.

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

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number else "left")
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
        table = _table("class", "F1", "precision", "recall", "turns")
        turns = evaluation.first.confusion.sum(1).tolist()
        for (label, own), count in zip(evaluation.classes.items(), turns, strict=True):
            cells = [mean_std_text(own[name]) for name in ("f1", "precision", "recall")]
            table.add_row(plain(label), *cells, f"{count:,}")
        return table
    table = _table("expert", "weighted F1", "accuracy", "macro F1", "turns")
    for name, own in evaluation.experts.items():
        cells = [mean_std_text(own[score]) for score in ("weighted_f1", "accuracy", "macro_f1")]
        table.add_row(name, *cells, f"{int(evaluation.first.experts[name].sum()):,}")
    return table
