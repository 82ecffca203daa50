"""`mister-e prepare`: from a raw release, or a table of one's own, to a corpus folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mister_e.cli.messages import exit_codes, plain, say
from mister_e.cli.options import Debug, MaxPieces, PieceSeconds, Quiet, TableColumns, read_pairs
from mister_e.cli.outputs import to_stdout
from mister_e.cli.progress import progress_bar
from mister_e.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from mister_e.corpora import Corpus

EPILOG = """
**Examples**

MELD as it was downloaded: `mister-e prepare meld MELD.Raw corpora/meld --audio flac`

Its sentiment: `mister-e prepare meld MELD.Raw corpora/meld3 --protocol MELD-3`

IEMOCAP, validated on its first session:
`mister-e prepare iemocap IEMOCAP_full_release corpora/iemocap --validate-on session1`

A table with speech features and no audio:
`mister-e prepare table turns.csv corpora/mine --features 'avg_*,pitch_*'`

Labelled clips, split by whole voices: `mister-e prepare clips ravdess corpora/ravdess`

Read speech as neutral, cut to pieces: `mister-e prepare clips librispeech corpora/librispeech
--label unlabelled_read=neutral --piece-seconds 3 --max-pieces 3`

EmoryNLP beside MELD, of the same series:
`mister-e prepare emorynlp emorynlp corpora/emorynlp --without corpora/meld`

Clips are a folder with a `manifest.csv` with the columns file, emotion and, if known, text, speaker and
seconds. Each becomes a conversation of one turn. The speaker decides the split and is not kept.

**Exit codes**: 0 all well; 1 a failure; 2 bad input; 130 Ctrl-C (run again: finished audio is kept).
"""

#: Options that only some kinds of source take.
OWN = {
    "table": ("--features", "--labels", "--column", "--seed"),
    "clips": ("--labels", "--seed", "--label", "--piece-seconds", "--max-pieces"),
    "emorynlp": ("--without",),
}
_NAMES = {"table": "a table", "clips": "clips", "emorynlp": "EmoryNLP"}


def prepare(
    corpus: Annotated[
        Literal["meld", "iemocap", "mosi", "emorynlp", "table", "clips"],
        typer.Argument(
            show_default=False,
            help="Which corpus; table: a .csv, .tsv, .parquet or .jsonl; clips: a folder with manifest.csv.",
        ),
    ],
    src: Annotated[
        Path, typer.Argument(metavar="SRC", show_default=False, help="The release as downloaded; untouched.")
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", show_default=False, help="The corpus folder to write.")
    ],
    protocol: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default=False,
            help="Labels and split, such as MELD-7 or MELD-3; an unknown name lists them."
            " For a table: what to call it.",
        ),
    ] = None,
    validate_on: Annotated[
        str | None,
        typer.Option(metavar="NAME", show_default=False, help="What to validate on, where that is open."),
    ] = None,
    audio: Annotated[
        Literal["none", "wav", "flac"],
        typer.Option(help="Extract 16 kHz mono files once, or refer to the originals."),
    ] = "none",
    jobs: Annotated[
        int | None, typer.Option(min=1, show_default="one a CPU", help="Decoding processes at a time.")
    ] = None,
    clip_limit: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="Longest that decoding one clip may take.")
    ] = 60.0,
    splits: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="A split of your own: csv with conversation_id,split or JSON of id to split.",
        ),
    ] = None,
    counts: Annotated[
        bool, typer.Option("--counts/--any-counts", help="Check the counts of the real release, or take any.")
    ] = True,
    features: Annotated[
        str | None,
        typer.Option(
            metavar="GLOBS", show_default=False, help="For a table: numeric columns of speech, 'avg_*,f0'."
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            show_default=False,
            help="For a table or clips: the labels in their order, by commas.",
        ),
    ] = None,
    column: TableColumns = None,
    seed: Annotated[
        int | None,
        typer.Option(
            show_default=False,
            help="For a table without splits, or clips: another seed, other splits (0).",
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EMOTION=LABEL",
            show_default=False,
            help="For clips: the label of an emotion whose name does not tell it. May be repeated.",
        ),
    ] = None,
    piece_seconds: PieceSeconds = None,
    max_pieces: MaxPieces = None,
    without: Annotated[
        Path | None,
        typer.Option(
            metavar="CORPUS",
            show_default=False,
            help="For emorynlp: a prepared corpus whose validation and test turns must not be learned.",
        ),
    ] = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Make a corpus folder of a raw release: splits and labels by a named protocol, its defects mended."""
    with exit_codes(debug):
        options: dict[str, Any] = {
            "validate_on": validate_on,
            "audio": audio,
            "jobs": jobs or os.cpu_count() or 1,
            "time_limit": clip_limit,
            "counts": counts,
        }
        own: dict[str, tuple[str, Any]] = {
            # option: name of the argument, value
            "--features": ("features", _names(features)),
            "--labels": ("labels", _names(labels)),
            "--column": ("columns", read_pairs("--column", column, "label=emotion")),
            "--seed": ("seed", seed),
            "--label": ("label_names", read_pairs("--label", label, "unlabelled_read=neutral")),
            "--piece-seconds": ("piece_seconds", piece_seconds),
            "--max-pieces": ("max_pieces", max_pieces),
            "--without": ("without", without),
        }
        for option, (argument, value) in own.items():
            if value in (None, [], {}):
                continue
            if option not in OWN.get(corpus, ()):
                owners = " and ".join(_NAMES[name] for name, own in OWN.items() if option in own)
                raise InputError(f"{option} is for {owners}; {corpus} is read without it")
            options[argument] = value
        if protocol is not None:
            options["name" if corpus in ("table", "clips") else "protocol"] = protocol
        with progress_bar(quiet) as progress:
            # polars comes with the corpora: bad usage is told without waiting for it
            from mister_e import corpora
            from mister_e.corpora.own_splits import read_splits

            if splits is not None:
                options["splits"] = read_splits(splits)
            if without is not None:
                options["without"] = corpora.Corpus.load(without)
            prepared = getattr(corpora, corpus).prepare(src, out, progress=progress, **options)
        _report(prepared, quiet)


def _names(text: str | None) -> list[str]:
    """Names between commas."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _report(corpus: Corpus, quiet: bool) -> None:
    """Print the protocol and the counts; say on stderr what was mended and what was written."""
    from rich.console import Console

    to_stdout(render(corpus, Console()))
    if not quiet:
        for note in corpus.metadata["repaired"]:
            say("note", note)
        say("wrote", str(corpus.folder))


def render(corpus: Corpus, console: Console) -> str:
    """Draw the protocol, the order of its labels, and the counts per split and label.

    :param corpus: as prepared.
    :param console: whose width and colours to use; nothing is printed on it.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("")
    for split in corpus.counts:
        table.add_column(split, justify="right")
    splits = corpus.counts.values()
    for name in ("conversations", "utterances", "labelled", "speech_missing"):
        table.add_row(name.replace("_", " "), *(f"{split[name]:,}" for split in splits))
    for number, label in enumerate(corpus.protocol.labels):
        table.add_row(Text(plain(f"{number} {label}")), *(f"{split['labels'][label]:,}" for split in splits))
    with console.capture() as captured:
        console.print(
            Text(plain(corpus.protocol.name), style="bold"), Text(plain(corpus.protocol.description))
        )
        console.print(table)
    return "".join(line.rstrip() + "\n" for line in captured.get().splitlines())
