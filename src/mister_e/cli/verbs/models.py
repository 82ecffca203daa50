"""`mister-e models`: the models that come with the package, in a line each, or all about one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from mister_e.cli.messages import exit_codes, plain
from mister_e.cli.options import Debug
from mister_e.cli.outputs import to_stdout
from mister_e.experts import MODALITIES

if TYPE_CHECKING:
    from mister_e.inference.model_config import ModelConfig

#: Headings and the names of the two scores that a list of models shows, as in `scores` of `config.json`.
MAIN_SCORES: Mapping[str, str] = {"words": "text", "voices": "voice"}

_ABOUT_THE_LIST = (
    "words, voices: weighted F1 in percent on MELD's test turns, on unseen voices\n"
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
            # it comes with torch, which the list does without
            from mister_e.inference.model_config import read_config

            folder = model_folder(name)
            to_stdout(render_model(read_config(folder), folder, Console()))


def render_list(configs: Sequence[Mapping[str, Any]], console: Console) -> str:
    """Draw one line a model.

    :param configs: `mister_e.pretrained.bundled()`.
    :param console: whose width and colours to use; nothing is printed on it.
    """
    table = _table("model", "size", "languages", *MAIN_SCORES, "terms", numbers=("size", *MAIN_SCORES))
    for config in configs:
        size, languages = f"{megabytes(config['folder']):.0f} MB", ", ".join(config["languages"])
        scores = [_weighted_f1(config["scores"].get(name, {})) for name in MAIN_SCORES.values()]
        terms = config["terms"].partition(":")[0]
        table.add_row(*map(_cell, (config["name"], size, languages, *scores, terms)))
    return _drawn(console, table, Text(_ABOUT_THE_LIST, style="dim"))


def render_model(config: ModelConfig, folder: Path, console: Console) -> str:
    """Draw all that a model's folder says of itself.

    :param config: its `config.json`.
    :param folder: where it is.
    :param console: whose width and colours to use; nothing is printed on it.
    """
    about = Table.grid(padding=(0, 2))
    about.add_column(no_wrap=True, style="dim")
    about.add_column(overflow="fold")  # a path is shown whole
    for name, value in _about(config, folder):
        about.add_row(Text(f"  {name}"), _cell(value))
    parts: list[RenderableType] = [Text(plain(config.name), style="bold"), about]
    if config.scores:
        numbers = ("turns", "weighted F1", "95 % interval")
        table = _table("test scores", *numbers, numbers=numbers)
        for situation, score in config.scores.items():
            turns, interval = f"{score.get('turns', 0):,}", _interval(score)
            table.add_row(*map(_cell, (situation, turns, _weighted_f1(score), interval)))
        parts += [Text(), table]
    return _drawn(console, *parts)


def megabytes(folder: str | Path) -> float:
    """Size of a model's folder in MB, without the bases that come from elsewhere."""
    return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file()) / 1e6


def _about(config: ModelConfig, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each line that is no score."""
    yield "about", config.description
    yield "size", f"{megabytes(folder):.0f} MB"
    yield "labels", ", ".join(config.labels)
    yield "languages", ", ".join(config.languages)
    for modality in MODALITIES:
        encoder = config.encoders.get(modality)
        yield f"{modality} encoder", "none" if encoder is None else encoder.base or encoder.kind
    yield "terms", config.terms
    yield "folder", str(folder)


def _weighted_f1(score: Mapping[str, Any]) -> str:
    """Weighted F1 in percent; `-` where it was not measured."""
    value = score.get("weighted_f1")
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
