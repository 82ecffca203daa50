"""Names that a package offers, imported when they are first asked for: torch and polars take their time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the `__getattr__` of a package.

    :param package: its `__name__`.
    :param homes: public name to the module, below the package, that defines it; a module's own name maps
        to itself.
    :return: finds a name, or raises `AttributeError`.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(f"{package}.{homes[name]}")
        return module if homes[name].rpartition(".")[2] == name else getattr(module, name)

    return find
