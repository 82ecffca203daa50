"""Say before loading a model that this machine cannot hold it."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from mister_e.errors import MisterEError

GIB = 2**30


def available_memory() -> int | None:
    """Bytes that can be had without swapping; None where the system does not tell."""
    try:
        facts = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(r"MemAvailable:\s+(\d+) kB", facts)
    free = int(found[1]) * 1024 if found else None
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii"))
        used = int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):  # no cgroup, or no limit ("max")
        return free
    return limit - used if free is None else min(free, limit - used)


def needed_memory(folder: Path, dtype: torch.dtype) -> int:
    """Bytes of the weights in a folder once they are loaded, read off the files' headers.

    :param folder: holds `.safetensors`, or else `.bin` or `.pt` of half precision.
    :param dtype: precision they are loaded in.
    """
    from safetensors import safe_open

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        stored = sum(path.stat().st_size for pattern in ("*.bin", "*.pt") for path in folder.glob(pattern))
        return stored // 2 * dtype.itemsize
    count = 0
    for path in files:
        with safe_open(path, "pt") as weights:
            for name in weights.keys():  # noqa: SIM118 - no mapping
                size = 1
                for length in weights.get_slice(name).get_shape():
                    size *= length
                count += size
    return count * dtype.itemsize


def check_memory(folder: Path, dtype: torch.dtype) -> None:
    """Refuse what cannot fit.

    :param folder: of the base.
    :param dtype: precision it is loaded in.
    :raises MisterEError: the weights alone need more than is free.
    """
    free = available_memory()
    needed = needed_memory(folder, dtype)
    if free is not None and needed > free:
        raise MisterEError(
            f"{folder}: its weights need {needed / GIB:.1f} GiB in {str(dtype).removeprefix('torch.')}, and"
            f" {free / GIB:.1f} GiB are free: take a smaller base, dtype: bfloat16, or four_bit on a GPU"
        )
