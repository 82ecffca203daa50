"""Splits by whole conversations: the usual names of splits, and random splits by a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from mister_e.errors import InputError

#: Usual names of the splits.
NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "development": "validation",
    "test": "test",
}

#: Fraction of the conversations that validation, and test, each get.
_FRACTION = 0.1


def split_name(name: str | None, where: str) -> str:
    """Translate the name of a split into one of `SPLITS`; "" for None.

    :param name: any of `NAMES`, in upper or lower case.
    :param where: file and line, for the error.
    :raises InputError: it is not known.
    """
    if name is None:
        return ""
    known = NAMES.get(name.lower())
    if known is None:
        raise InputError(f"{where}: split {name!r}, expected train, validation (val, dev) or test")
    return known


def make_splits(conversations: Sequence[str], seed: int) -> dict[str, str]:
    """Assign conversations to splits, 80 : 10 : 10.

    :param conversations: their ids, in any order, repeated or not.
    :param seed: another seed, another split.
    :return: id to split.
    :raises InputError: there are fewer than three.
    """
    order = _shuffled(conversations, seed)
    if len(order) < 3:
        raise InputError(f"{len(order)} conversations cannot be split in three; add a column split")
    size = _size(order)
    kinds = ["test"] * size + ["validation"] * size
    return dict(zip(order, kinds + ["train"] * (len(order) - len(kinds)), strict=True))


def make_validation(train: Sequence[str], seed: int) -> dict[str, str]:
    """Take a tenth of the training conversations for validation.

    :param train: ids of the conversations of train.
    :param seed: another seed, another split.
    :return: id to split, of those in train.
    :raises InputError: there are fewer than two.
    """
    order = _shuffled(train, seed)
    if len(order) < 2:
        raise InputError("one conversation of train leaves none to validate on; add some, or a split")
    size = _size(order)
    return dict.fromkeys(order[:size], "validation") | dict.fromkeys(order[size:], "train")


def _size(order: Sequence[str]) -> int:
    """Number of conversations in validation, and in test."""
    return max(1, round(_FRACTION * len(order)))


def _shuffled(conversations: Sequence[str], seed: int) -> list[str]:
    """Order by a hash: the same on every machine, and stable when conversations are added."""
    return sorted(set(conversations), key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
