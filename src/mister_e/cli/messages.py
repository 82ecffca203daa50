"""Messages on stderr, and exit codes."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from mister_e.errors import InputError, describe
from mister_e.files import readable

#: Exit codes besides 0: a failure of ours, bad input, stopped with Ctrl-C (128 + SIGINT).
FAILED, BAD_INPUT, STOPPED = 1, 2, 130

#: Packages of the extra `train`.
_EXTRA_PACKAGES = {"accelerate", "matplotlib", "peft", "sklearn", "tensorboard", "yaml"}

_COLOURS = {"error": typer.colors.RED, "note": typer.colors.YELLOW, "wrote": typer.colors.GREEN}


def plain(text: str) -> str:
    """Text without control characters, so that a file name or transcript cannot steer a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in readable(text))


def say(kind: str, text: str) -> None:
    """Put one line on stderr.

    :param kind: the word before the colon: "error", "note" or "wrote".
    :param text: the message.
    """
    label = typer.style(f"{kind}:", fg=_COLOURS[kind], bold=True)
    typer.echo(f"{label} {plain(text)}", err=True)


@contextmanager
def exit_codes(debug: bool) -> Iterator[None]:
    """Turn an error or Ctrl-C in the block into a message and an exit code.

    :param debug: show the traceback as well.
    :raises typer.Exit: 2 for bad input, 1 for any other failure, 130 for Ctrl-C.
    """
    try:
        yield
    except typer.Exit:
        raise
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
        raise typer.Exit(STOPPED) from None
    except Exception as error:
        raise typer.Exit(complain(error, debug)) from error


def explain(error: Exception) -> str:
    """One line about an error: the message of ours, the kind as well of any other."""
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or "").partition(".")[0]
        if package in _EXTRA_PACKAGES:
            return f"this needs {package}, which comes with an extra: pip install 'mister-e[train]'"
    return describe(error)


def complain(error: Exception, debug: bool) -> int:
    """Put an error on stderr.

    :param debug: show the traceback as well.
    :return: the exit code: 2 for bad input, 1 for any other failure.
    """
    if debug:
        traceback.print_exception(error)
    bad_input = isinstance(error, InputError)
    say("error", explain(error) + ("" if debug or bad_input else " (--debug shows where)"))
    return BAD_INPUT if bad_input else FAILED
