"""What goes wrong, said so that a person can mend it."""

from __future__ import annotations


class MisterEError(Exception):
    """Base of every error this package raises on purpose."""


class InputError(MisterEError, ValueError):
    """Bad input: the message names the file, line or field, and the way out (CLI exit code 2)."""
