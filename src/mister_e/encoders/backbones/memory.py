"""Say before loading a model that this machine cannot hold it."""

from __future__ import annotations

import math
import re
from pathlib import Path

import torch

from mister_e.errors import InputError, MisterEError
from mister_e.pretrained.model_files import inside, read_json

GIB = 2**30


def available_memory() -> int | None:
    """Bytes that can be had without swapping; None where the system does not tell."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(r"MemAvailable:\s+(\d+) kB", text)
    free = int(found[1]) * 1024 if found else None
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii"))
        used = int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):  # no cgroup, or no limit ("max")
        return free
    return limit - used if free is None else min(free, limit - used)


def needed_memory(folder: Path, dtype: torch.dtype) -> int:
    """Bytes of the weights in a folder once they are loaded, read off the files' headers.

    :param folder: holds `.safetensors`.
    :param dtype: precision they are loaded in.
    :raises InputError: a file is missing, or the list of them is damaged.
    """
    from safetensors import SafetensorError, safe_open

    files = _weight_files(folder)
    if not files and any(path for pattern in ("*.bin", "*.pt") for path in folder.glob(pattern)):
        raise InputError(
            f"{folder}: holds pickled weights alone (.bin, .pt), which can hold code and are not read; take a"
            " base that has .safetensors, or convert it"
        )
    count = 0
    for path in files:
        try:
            with safe_open(path, "pt") as weights:
                for name in weights.keys():  # noqa: SIM118 - no mapping
                    count += math.prod(weights.get_slice(name).get_shape())
        except (SafetensorError, OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{path}: cannot be read as safetensors ({reason}); get it again") from None
    return count * dtype.itemsize


def _weight_files(folder: Path) -> list[Path]:
    """Files that are loaded; many models lie twice in their folder, in one more layout or precision."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            names = sorted({str(name) for name in read_json(index)["weight_map"].values()})
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(f"{index}: damaged; get the model again") from None
        files = [inside(folder, name) for name in names]
        for path in files:
            if not path.is_file():
                raise InputError(f"{path}: the file is missing; get the model again, whole")
        return files
    whole = folder / "model.safetensors"
    return [whole] if whole.is_file() else sorted(folder.glob("*.safetensors"))


def check_memory(folder: Path, dtype: torch.dtype) -> None:
    """Refuse what cannot fit.

    :param folder: of the base.
    :param dtype: precision it is loaded in.
    :raises InputError: a file is missing, or the list of them is damaged.
    :raises MisterEError: the weights alone need more than is free.
    """
    free = available_memory()
    needed = needed_memory(folder, dtype)
    if free is not None and needed > free:
        raise MisterEError(
            f"{folder}: its weights need {needed / GIB:.1f} GiB in {str(dtype).removeprefix('torch.')}, and"
            f" {free / GIB:.1f} GiB are free: take a smaller base, dtype: bfloat16, or four_bit on a GPU"
        )
