"""What `mister-e` does before any verb: tell its version."""

from __future__ import annotations

from typing import Annotated

import typer

from mister_e.version import __version__


def _tell(asked: bool) -> None:
    """Print the version and end."""
    if asked:
        typer.echo(f"mister-e {__version__}")
        raise typer.Exit


def verbs(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_tell,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """Tell the emotion of every turn of a conversation from its speech and its words."""
