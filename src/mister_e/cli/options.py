"""Options and arguments that several verbs share, each defined once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mister_e.errors import InputError


def out_option(metavar: str, text: str) -> Any:
    """Make `--out`, `-o`: the folder that a verb writes.

    :param metavar: what the folder becomes, such as RUN.
    :param text: help on it.
    """
    return typer.Option("--out", "-o", metavar=metavar, show_default=False, help=text)


def seed_option(default: str) -> Any:
    """Make `--seed`, which may be repeated.

    :param default: the seeds that are taken without it, in words.
    """
    return typer.Option("--seed", min=0, show_default=default, help="One run each. May be repeated.")


#: `--quiet`, `-q`.
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar and no notes.")]
#: `--debug`.
Debug = Annotated[
    bool, typer.Option("--debug", envvar="MISTER_E_DEBUG", help="Show the traceback of a failure.")
]
#: The file that says what is trained.
RecipeFile = Annotated[
    Path, typer.Argument(metavar="RECIPE", show_default=False, help="A YAML such as recipes/meld/mini.yaml.")
]
#: `--set`: fields over the recipe's.
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="FIELD=VALUE", show_default=False, help="Over the recipe. May be repeated."
    ),
]
#: `--seed`, of a recipe.
Seeds = Annotated[list[int] | None, seed_option("the recipe's")]
#: `--data`: the folder that `mister-e prepare` wrote.
CorpusFolder = Annotated[
    Path, typer.Option("--data", metavar="CORPUS", show_default=False, help="A prepared corpus folder.")
]
#: `--data`: the folder that `mister-e embed` wrote.
StoreFolder = Annotated[
    Path, typer.Option("--data", metavar="STORE", show_default=False, help="A store of `mister-e embed`.")
]
#: `--voices`: stores of clips.
VoiceStoreFolders = Annotated[
    list[Path] | None,
    typer.Option(
        "--voices",
        metavar="STORE",
        show_default=False,
        help="Of a recipe with `pairing:`, a store of clips. May be repeated.",
    ),
]
#: `--speech`: what put the clips of `--voices` into conversations.
VoiceEncoderName = Annotated[
    str | None,
    typer.Option(
        "--speech",
        metavar="ENCODER",
        show_default=False,
        help="With --voices, the speech encoder that all stores were made by.",
    ),
]
#: An encoder, where the name of the option (`--text`, `--speech`) tells of what.
EncoderName = Annotated[
    str | None,
    typer.Option(
        metavar="ENCODER", show_default=False, help="Folder of an encoder or its run, or a bundled model."
    ),
]
#: `--asr`: what recognises words.
AsrModel = Annotated[
    str | None,
    typer.Option(
        "--asr",
        metavar="MODEL",
        show_default="tiny.en",
        help="Recognises words: a Whisper by its name (tiny.en is bundled; base, small, large-v3, turbo, …),"
        " a folder with one for CTranslate2, a Hub id, or none: the sound alone is used.",
    ),
]
#: `--no-asr`: the former name of `--asr none`.
NoAsr = Annotated[bool, typer.Option("--no-asr", help="The same as --asr none.")]
#: `--language`: of the speech.
SpokenLanguage = Annotated[
    str,
    typer.Option(
        metavar="CODE",
        help="Language spoken, such as en or en-US. auto: that of each turn, if several are known.",
    ),
]
#: `--compute-type`: of recognition.
ComputeType = Annotated[
    str,
    typer.Option(
        metavar="TYPE",
        help="Numbers that words are recognised with: int8, int8_float16, float16, bfloat16, float32, …"
        " default: int8, on a GPU float16.",
    ),
]
#: `--words`: their times.
WordTimes = Annotated[
    bool, typer.Option("--words", help="Put the time and probability of each word into json and jsonl.")
]
#: `--column`: of a table.
TableColumns = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="NAME=COLUMN",
        show_default=False,
        help="For a table: which column is, say, the label: label=emotion. May be repeated.",
    ),
]
#: `--piece-seconds`: of labelled clips.
PieceSeconds = Annotated[
    float | None,
    typer.Option(
        min=0.1, metavar="SECONDS", show_default=False, help="For clips: cut them to pieces of this length."
    ),
]
#: `--max-pieces`: of labelled clips.
MaxPieces = Annotated[
    int | None, typer.Option(min=1, show_default=False, help="For clips: pieces of one at most.")
]


def chosen_recogniser(asr: str | None, no_asr: bool) -> str | None:
    """What `--asr` and `--no-asr` ask for.

    :return: name of a recogniser; None = no words are recognised.
    :raises InputError: they contradict each other.
    """
    if asr == "":
        raise InputError("--asr needs a name: tiny.en, base, a folder, a Hub id, or none")
    if no_asr and asr not in (None, "none"):
        raise InputError(f"--asr {asr} recognises words and --no-asr none: leave one of them out")
    if no_asr or asr == "none":
        return None
    return "tiny.en" if asr is None else asr


def read_pairs(option: str, texts: list[str] | None, example: str) -> dict[str, str]:
    """Read each `name=value` of an option that may be repeated.

    :param option: its name, for messages.
    :param texts: as given.
    :param example: of one, for messages.
    :raises InputError: one is no pair.
    """
    pairs = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise InputError(f"{option} {text!r}: expected two names, such as {example}")
        pairs[name] = value
    return pairs
