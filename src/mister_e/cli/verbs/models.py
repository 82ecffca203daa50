"""`mister-e models`: the models that come with the package."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mister_e.cli.messages import exit_codes, plain
from mister_e.cli.outputs import to_stdout


def models(
    debug: Annotated[
        bool, typer.Option("--debug", envvar="MISTER_E_DEBUG", help="Show the traceback of a failure.")
    ] = False,
) -> None:
    """List the bundled models: size, labels, encoders, test scores and terms."""
    with exit_codes(debug):
        from mister_e.pretrained import bundled

        to_stdout(render(bundled(), Console()))


def render(configs: Sequence[Mapping[str, Any]], console: Console) -> str:
    """Draw what each model's folder says of itself.

    :param configs: `mister_e.pretrained.bundled()`.
    :param console: whose width and colours to use; nothing is printed on it.
    """
    with console.capture() as captured:
        for config in configs:
            facts = Table.grid(padding=(0, 2))
            for name, value in _facts(config):
                facts.add_row(Text(f"  {name}", style="dim"), Text(plain(value)))
            console.print(Text(plain(config["name"]), style="bold"), facts, sep="\n")
    return "".join(line.rstrip() + "\n" for line in captured.get().splitlines())


def _facts(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the rows of one model."""
    folder = Path(config["folder"])
    text = json.loads((folder / "text" / "encoder.json").read_text(encoding="utf-8"))
    yield "about", config["description"]
    yield "size", f"{sum(file.stat().st_size for file in folder.rglob('*') if file.is_file()) / 1e6:.0f} MB"
    yield "labels", ", ".join(config["labels"])
    yield "languages", ", ".join(config["languages"])
    yield "text encoder", text["config"]["base"]
    yield "speech encoder", config["speech_encoder"]["base"]
    for situation, score in config["scores"].items():
        yield f"weighted F1, {situation}", f"{score['weighted_f1']:.1f} on {score['turns']:,} test turns"
    yield "terms", config["terms"]
    yield "folder", str(folder)
