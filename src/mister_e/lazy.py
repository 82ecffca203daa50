"""Lazy imports of a package's public names: torch and polars take their time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the `__getattr__` of a package.

    :param package: its `__name__`.
    :param modules: public name to the module, below the package, that defines it; a module's own name maps
        to itself.
    :return: finds a name, or raises `AttributeError`.
    """

    def find(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(f"{package}.{modules[name]}")
        return module if modules[name].rpartition(".")[2] == name else getattr(module, name)

    return find
