"""Corpora of conversations, read as they are released: one module each, with the verb `prepare`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mister_e.corpora.base import SPLITS, Protocol, Reader, Row

if TYPE_CHECKING:
    from mister_e.corpora.store import Corpus

__all__ = ["SPLITS", "Corpus", "Protocol", "Reader", "Row"]

_MODULES = frozenset({"checks", "iemocap", "meld", "mosi", "table"})


def __getattr__(name: str) -> Any:
    # tables come with polars: the decoding processes start quicker without it
    if name == "Corpus":
        return import_module("mister_e.corpora.store").Corpus
    if name in _MODULES:
        return import_module(f"mister_e.corpora.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
