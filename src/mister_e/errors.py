"""Errors that this package raises on purpose; their messages say how to fix the cause."""

from __future__ import annotations


class MisterEError(Exception):
    """Base of every error this package raises on purpose."""


class InputError(MisterEError, ValueError):
    """Bad input: the message names the file, line or field, and the way out (CLI exit code 2)."""


def describe(error: Exception) -> str:
    """Put an error into one line: the message of ours, the kind as well of any other."""
    return str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
