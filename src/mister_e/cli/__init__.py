"""The command line: `mister-e analyze`, `mister-e models`, `mister-e prepare`."""

from __future__ import annotations

from typing import Annotated

import typer

from mister_e import __version__
from mister_e.cli import analyze, models, prepare

__all__ = ["app", "main"]

app = typer.Typer(
    name="mister-e",
    rich_markup_mode="markdown",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog=analyze.EPILOG)(analyze.analyze)
app.command()(models.models)
app.command(epilog=prepare.EPILOG)(prepare.prepare)


def _version(asked: bool) -> None:
    """Print the version and end."""
    if asked:
        typer.echo(f"mister-e {__version__}")
        raise typer.Exit


@app.callback()
def _verbs(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Tell the emotion of every turn of a conversation from its speech and its words."""


def main() -> None:
    """Run the command line."""
    app()
