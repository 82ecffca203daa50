"""Files of a model folder, read as data: nothing in them runs, and none leads out of the folder."""

from __future__ import annotations

import json
import math
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mister_e.errors import InputError

#: A configuration of this package is below 100 kB, those of large models are below 1 MB.
MAX_JSON_BYTES = 16 * 2**20
MAX_JSON_DEPTH = 64
#: What the format allows; see `safetensors`.
_MAX_HEADER_BYTES = 100_000_000


def check_links(folder: Path) -> None:
    """Refuse a folder in which a name leads elsewhere, or to what is no file.

    Files of a snapshot in the Hugging Face cache are links to its blobs, which is the same repository.

    :param folder: looked at without the folders in it.
    :raises InputError: a link leaves the folder, or something is a pipe, a device or a socket.
    """
    for path in sorted(folder.iterdir()):
        inside(folder, path.name, may_be_folder=True)


def inside(folder: Path, name: str, *, may_be_folder: bool = False) -> Path:
    """Find a file of a folder that is named in a file of it.

    :param folder: of a model, or of a part of it.
    :param name: with `/` between folders, below `folder`; need not exist.
    :param may_be_folder: whether it may be a folder.
    :raises InputError: it lies elsewhere, or is a pipe, a device or a socket.
    """
    parts = PurePosixPath(name).parts
    path = folder / name
    if not parts or ".." in parts or "\\" in name or ":" in name or "\0" in name or name.startswith("/"):
        raise InputError(f"{folder}: names the file {name!r}, which is not in it; get the folder again")
    root = folder.resolve()
    if root.parent.name == "snapshots":
        root = root.parents[1]
    try:
        if not path.resolve().is_relative_to(root):
            raise InputError(f"{path}: is a link to what is not in the folder; copy the file itself there")
        mode = path.stat().st_mode
    except FileNotFoundError:
        return path
    except (OSError, RuntimeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); get the folder again") from None
    if not (stat.S_ISREG(mode) or (may_be_folder and stat.S_ISDIR(mode))):
        raise InputError(f"{path}: is not a file; get the folder again")
    return path


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object of a size, depth and numbers that a configuration can have.

    :raises FileNotFoundError: it is missing.
    :raises InputError: it is anything else.
    """
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise InputError(f"{path}: has over {MAX_JSON_BYTES >> 20} MiB: no configuration; get it again")
        data = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refused_constant)
    except InputError:
        raise
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error}); get the folder again") from None
    if not isinstance(data, dict):
        raise InputError(f"{path}: not a JSON object; get the folder again")
    problem = _problem(data)
    if problem:
        raise InputError(f"{path}: {problem}; get the folder again")
    return data


def _refused_constant(name: str) -> Any:
    """Refuse what JSON does not have."""
    raise ValueError(f"{name} is no number of JSON")


def _problem(data: Any) -> str | None:
    """What a configuration cannot hold; None = nothing of the kind."""
    level: list[Any] = [data]
    for _ in range(MAX_JSON_DEPTH):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below += [*value.keys(), *value.values()]
            elif isinstance(value, list):
                below += value
            elif isinstance(value, str) and not _is_text(value):
                return "has half of a surrogate pair, which is no text"
            elif isinstance(value, float) and not math.isfinite(value):
                return "has a number beyond all bounds"
        if not below:
            return None
        level = below
    return f"is nested deeper than {MAX_JSON_DEPTH} levels"


def _is_text(value: str) -> bool:
    """Whether a string can be written as UTF-8."""
    return not re.search("[\ud800-\udfff]", value)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a file of weights.

    :return: name to value.
    :raises FileNotFoundError: it is missing.
    :raises InputError: it is no safetensors, or names a weight twice.
    """
    try:
        twice = _named_twice(path)
        if twice is not None:
            raise InputError(f"{path}: has weight {twice!r} twice; get the folder again")
        return load_file(path)
    except (FileNotFoundError, InputError):
        raise
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path}: cannot be read as safetensors ({reason}); get the folder again") from None


def _named_twice(path: Path) -> str | None:
    """Name that the header has twice, of which a reader keeps one; None = there is none."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(_MAX_HEADER_BYTES, path.stat().st_size):
            raise ValueError(f"its header would have {length} bytes")
        header = file.read(length)
    twice: list[str] = []

    def unique(pairs: Iterable[tuple[str, Any]]) -> Mapping[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                twice.append(name)
            found[name] = value
        return found

    try:
        json.loads(header, object_pairs_hook=unique)
    except RecursionError:
        raise ValueError("its header is nested too deep") from None
    return twice[0] if twice else None
