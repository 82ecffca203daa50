"""The command line: the verbs of `mister-e`, put together."""

# Nothing but the standard library is imported here: Ctrl-C while the rest comes in is caught by `main`.
from __future__ import annotations

import os
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from mister_e.cli.standard_streams import prepare_streams

if TYPE_CHECKING:
    import typer

    app: typer.Typer

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line; Ctrl-C at any moment ends it with one word and code 130."""
    prepare_streams()
    try:
        _app()()
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    except OSError as error:  # such as the help on a full disk
        print(f"error: {error.strerror}", file=sys.stderr)
        os._exit(1)  # the interpreter would flush stdout once more


def __getattr__(name: str) -> Any:
    if name == "app":
        return _app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def _app() -> typer.Typer:
    """Put the verbs together."""
    import typer

    from mister_e.cli.verbs import (
        ablate,
        analyze,
        baselines,
        check,
        embed,
        evaluate,
        export,
        finetune,
        models,
        prepare,
        train,
    )
    from mister_e.version import __version__

    def tell_version(asked: bool) -> None:
        """Print the version and end."""
        if asked:
            typer.echo(f"mister-e {__version__}")
            raise typer.Exit

    version_option = typer.Option(
        False, "--version", callback=tell_version, is_eager=True, help="Show the version and exit."
    )

    def verbs(version: bool = version_option) -> None:
        """Tell the emotion of every turn of a conversation from its speech and its words."""

    app = typer.Typer(
        name="mister-e",
        rich_markup_mode="markdown",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(verbs)
    app.command(epilog=analyze.EPILOG)(analyze.analyze)
    app.command()(models.models)
    app.command(epilog=prepare.EPILOG)(prepare.prepare)
    app.command(epilog=check.EPILOG)(check.check)
    app.command(epilog=finetune.EPILOG)(finetune.finetune)
    app.command(epilog=embed.EPILOG)(embed.embed)
    app.command(epilog=train.EPILOG)(train.train)
    app.command(epilog=export.EPILOG)(export.export)
    app.command(epilog=ablate.EPILOG)(ablate.ablate)
    app.command(epilog=evaluate.EPILOG)(evaluate.evaluate)
    app.command(epilog=baselines.EPILOG)(baselines.baselines)
    return app
