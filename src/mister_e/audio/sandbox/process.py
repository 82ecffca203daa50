"""How a process of this package is started, so that it runs the code that this process runs."""

from __future__ import annotations

import json
import subprocess
import sys

_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]);"
    " from importlib import import_module; import_module(sys.argv[2]).main()"
)


def python_command(module: str) -> list[str]:
    """Command that calls `main` of a module of this package.

    It has this process's flags and places of modules, but for the folder that it is run in: what lies where a
    user stands is not taken for a module.

    :param module: its full name.
    """
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    places = [place for place in sys.path if place]
    return [sys.executable, *flags, "-P", "-c", _PROGRAM, json.dumps(places), module]
