"""`mister-e models`: the models that come with the package, in a line each, or all about one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from mister_e.cli.messages import exit_codes, plain
from mister_e.cli.options import Debug
from mister_e.cli.outputs import to_stdout
from mister_e.errors import InputError

#: Headings and the names of the two scores that a list of models shows, as in `scores` of `config.json`.
MAIN_SCORES: Mapping[str, str] = {"words": "text", "voices": "voice"}

_ABOUT_THE_LIST = (
    "words: weighted F1 in percent on MELD's test turns; voices: on clips of unseen voices\n"
    "mister-e models NAME tells all about one"
)


def models(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", show_default=False, help="A bundled model, or a model folder: all about it."
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """List the bundled models, a line each; with a name: labels, encoders, all test scores and terms."""
    with exit_codes(debug):
        from mister_e.pretrained import bundled, model_folder

        if name is None:
            to_stdout(render_list(bundled(), Console()))
        else:
            to_stdout(render_model(read_description(model_folder(name)), Console()))


def read_description(folder: Path) -> dict[str, Any]:
    """Read what a model folder says of itself, without its weights.

    :return: its `config.json`, and `folder`.
    :raises InputError: there is no `config.json`, or it is not that of a model.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: missing; {folder} is not a model folder") from None
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); get the folder again") from None
    if not isinstance(config, dict) or "mixture" not in config:
        raise InputError(f"{path}: no field 'mixture': not a model; give a bundled name or a model folder")
    return config | {"folder": str(folder)}


def render_list(configs: Sequence[Mapping[str, Any]], console: Console) -> str:
    """Draw one line a model.

    :param configs: `mister_e.pretrained.bundled()`.
    :param console: whose width and colours to use; nothing is printed on it.
    """
    table = _table("model", "size", "languages", *MAIN_SCORES, "terms", numbers=("size", *MAIN_SCORES))
    for config in configs:
        scores = [_score(config, situation) for situation in MAIN_SCORES.values()]
        terms = str(config.get("terms", "")).partition(":")[0]
        languages = ", ".join(config.get("languages", ()))
        table.add_row(*map(_cell, (_name(config), f"{megabytes(config):.0f} MB", languages, *scores, terms)))
    return _drawn(console, table, Text(_ABOUT_THE_LIST, style="dim"))


def render_model(config: Mapping[str, Any], console: Console) -> str:
    """Draw all that a model's folder says of itself.

    :param config: of `read_description`.
    :param console: whose width and colours to use; nothing is printed on it.
    """
    about = Table.grid(padding=(0, 2))
    about.add_column(no_wrap=True, style="dim")
    about.add_column(overflow="fold")  # a path is shown whole
    for name, value in _about(config):
        about.add_row(Text(f"  {name}"), _cell(value))
    parts: list[RenderableType] = [Text(plain(_name(config)), style="bold"), about]
    if scores := config.get("scores", {}):
        numbers = ("turns", "weighted F1", "95 % interval")
        table = _table("test scores", *numbers, numbers=numbers)
        for situation, score in scores.items():
            turns, interval = f"{score.get('turns', 0):,}", _interval(score)
            table.add_row(*map(_cell, (situation, turns, _score(config, situation), interval)))
        parts += [Text(), table]
    return _drawn(console, *parts)


def megabytes(config: Mapping[str, Any]) -> float:
    """Size of a model's folder in MB, without the bases that come from elsewhere."""
    files = Path(config["folder"]).rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def _about(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the facts of a model that are no scores."""
    yield "about", config.get("description", "")
    yield "size", f"{megabytes(config):.0f} MB"
    yield "labels", ", ".join(config.get("labels", ()))
    yield "languages", ", ".join(config.get("languages", ()))
    for modality in ("text", "speech"):
        yield f"{modality} encoder", _base(config, modality)
    yield "terms", config.get("terms", "")
    yield "folder", config["folder"]


def _base(config: Mapping[str, Any], modality: str) -> str:
    """Name what an encoder was made from, or its kind; `none` where the model has no such encoder."""
    encoder = config.get("encoders", {}).get(modality)
    if encoder is None:  # formats 1 and 2
        path = Path(config["folder"]) / modality / "encoder.json"
        former = config.get(f"{modality}_encoder")
        if former is not None:
            encoder = {"config": former}
        else:
            encoder = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return encoder.get("config", {}).get("base") or encoder.get("kind") or "none"


def _name(config: Mapping[str, Any]) -> str:
    return str(config.get("name") or Path(config["folder"]).name)


def _score(config: Mapping[str, Any], situation: str) -> str:
    """Weighted F1 in percent; `-` where it was not measured."""
    value = config.get("scores", {}).get(situation, {}).get("weighted_f1")
    return "-" if value is None else f"{value:.1f}"


def _interval(score: Mapping[str, Any]) -> str:
    """Edges of the 95 % interval; `-` where one voice alone gives none."""
    return " to ".join(f"{edge:.1f}" for edge in score.get("interval", ())) or "-"


def _table(*columns: str, numbers: Sequence[str]) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1), header_style="dim")
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", no_wrap=column in numbers)
    return table


def _cell(text: str) -> Text:
    return Text(plain(text))


def _drawn(console: Console, *parts: RenderableType) -> str:
    with console.capture() as captured:
        console.print(*parts, sep="\n")
    return "".join(line.rstrip() + "\n" for line in captured.get().splitlines())
