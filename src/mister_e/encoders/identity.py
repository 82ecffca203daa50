"""What a pretrained base is, wherever its files lie."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path

from mister_e.encoders.weights import sha256
from mister_e.errors import InputError

_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.gguf")


def base_identity(folder: Path) -> str:
    """Identity of a base's weights.

    :param folder: as `weights.resolve` gives it.
    :return: the revision of a Hub snapshot (40 hexadecimal digits), or one SHA-256 over the weights' files.
    :raises InputError: there are no weights in it.
    """
    if folder.parent.name == "snapshots" and re.fullmatch(r"[0-9a-f]{40}", folder.name):
        return folder.name
    files = sorted({path for pattern in _WEIGHTS for path in folder.glob(pattern)})
    if not files:
        raise InputError(f"{folder}: holds no weights (.safetensors, .bin, .pt or .gguf)")
    digest = hashlib.sha256()
    for path in files:
        facts = path.stat()
        digest.update(f"{_hash(path, facts.st_size, facts.st_mtime_ns)}  {path.name}\n".encode())
    return digest.hexdigest()


@cache
def _hash(path: Path, size: int, changed: int) -> str:
    """Hash a file once a process, for as long as it stays the same."""
    return sha256(path)
