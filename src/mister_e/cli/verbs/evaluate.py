"""`mister-e evaluate`: how well a trained mixture or a model folder does, and how sure that is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mister_e.cli.messages import exit_codes, say
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
from mister_e.cli.scores import render, render_conditions
from mister_e.errors import InputError
from mister_e.progress import Progress

if TYPE_CHECKING:
    from mister_e.evaluation.labelled import Labelled
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

Two classes of a corpus whose names differ: `mister-e evaluate --model mini --data corpora/mine --map glee=joy
--only joy --only sadness`

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
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LABEL",
            show_default=False,
            help="With --model: score the turns of this class alone. May be repeated; of one class, the share"
            " that comes out so is told.",
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
        if model is None:
            of_clips = {"--alone": alone, "--piece-seconds": piece_seconds}
            of_clips |= {"--max-pieces": max_pieces, "--seed": seed}
            for option, value in {"--map": label, "--only": only, **of_clips}.items():
                if value:
                    what = "a folder of clips with --model" if option in of_clips else "--model"
                    raise InputError(f"{option} is for {what}; leave it out")
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
                evaluation, out = _of_model(model, data, labelled, names, only or [], mode, out, progress)
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
    only: list[str],
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
    evaluation = evaluate_model(
        predictor, labelled, mode=mode, label_names=label_names, only=only, progress=progress
    )
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
