"""`mister-e export`: a trained mixture and its encoders as one model folder, ready for use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mister_e.cli.messages import exit_codes, say
from mister_e.cli.options import Debug, EncoderName, Quiet, out_option
from mister_e.cli.outputs import to_stdout
from mister_e.errors import InputError

if TYPE_CHECKING:
    from mister_e.experts import Modality
    from mister_e.inference.model_config import ModelConfig

EPILOG = """
**Examples**

What was trained, with the encoders that its embeddings were made with:
`mister-e export runs/meld --text runs/meld-text/seed-0 --speech mini -o models/meld`, and then
`mister-e analyze call.wav --model models/meld`

One seed of several:
`mister-e export runs/meld/seed-1 --text runs/meld-text/seed-0 --speech mini -o models/meld`

With the scores of an evaluation in the card:
`mister-e export runs/meld --text … --speech … -o models/meld --scores "MELD test=evaluation-test-full.json"`

**Exit codes**: 0 all well; 1 a failure; 2 bad input (nothing was written); 130 Ctrl-C.
"""


def export(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", show_default=False, help="A folder of `mister-e train`, or one seed's in it."
        ),
    ],
    out: Annotated[Path, out_option("MODEL", "The model folder to write.")],
    text: EncoderName = None,
    speech: EncoderName = None,
    voices_head: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            show_default=False,
            help="A run of `mister-e finetune --part voices`, or a model that has one, for --turns voices.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", show_default="the recipe's", help="What to call the model.")
    ] = None,
    scores: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE",
            show_default=False,
            help="JSON of `mister-e evaluate`, as a row of the card. May be repeated.",
        ),
    ] = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Put a trained mixture and its encoders into one folder that analyze and evaluate open."""
    with exit_codes(debug):
        from mister_e.encoders.registry import find_encoder
        from mister_e.inference.export import export as write

        names: dict[Modality, str | None] = {"text": text, "speech": speech}
        folders = {
            modality: find_encoder(given, modality) for modality, given in names.items() if given is not None
        }
        config = write(
            run,
            out,
            folders,
            voices=None if voices_head is None else Path(voices_head),
            name=name,
            scores=_rows(run, scores or ()),
        )
        to_stdout(render(config))
        if not quiet:
            say("wrote", str(out))


def render(config: ModelConfig) -> str:
    """Say in a line what the model is.

    :param config: of the model that was written.
    """
    encoders = ", ".join(f"{modality} by {encoder.called}" for modality, encoder in config.encoders.items())
    return f"{config.name}: {len(config.labels)} labels, {encoders}\n"


def _rows(run: Path, scores: list[str] | tuple[()]) -> dict[str, dict[str, Any]]:
    """Read evaluations of a run's mixture as rows of the card.

    :raises InputError: an option is no NAME=FILE, or the file is no evaluation of this mixture.
    """
    from mister_e.evaluation.summary import card_row
    from mister_e.inference.model_config import WEIGHTS, read_config
    from mister_e.inference.model_folder import find_config

    rows: dict[str, dict[str, Any]] = {}
    if not scores:
        return rows
    weights = read_config(find_config(run)).files.get(WEIGHTS, "")
    for given in scores:
        name, equals, file = given.rpartition("=")
        if not (name and equals and file):
            raise InputError(f"--scores {given!r}: expected NAME=FILE, such as 'MELD test=evaluation.json'")
        try:
            rows[name] = card_row(json.loads(Path(file).read_text(encoding="utf-8")), weights)
        except InputError as error:
            raise InputError(f"--scores {file}: {error}") from None
        except OSError as error:
            raise InputError(f"--scores {file}: cannot be read ({error.strerror})") from None
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise InputError(f"--scores {file}: no JSON of mister-e evaluate ({error!r})") from None
    return rows
