"""Folders of training runs, and the processes that share a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mister_e.errors import InputError
from mister_e.files import write_text


def check_run_config(run: Path, config: Mapping[str, Any]) -> None:
    """Write the configuration of a run to its folder, unless a run with another configuration is there.

    Runs in folders `seed-N` side by side are scored together, so only their seeds may differ.

    :param run: folder of the run; gets `run.json`.
    :param config: everything that decides the result of the run, JSON-ready.
    :raises InputError: the folder, or one beside it, holds a run with another configuration; names the first
        field that differs. Or a file is in the way.
    """
    path = run / "run.json"
    config = json.loads(json.dumps(config))  # tuples become lists, as they do in the file
    beside = sorted(run.parent.glob("seed-*/run.json")) if run.name.startswith("seed-") else []
    for existing in dict.fromkeys([path, *beside]):
        if not existing.is_file() or not _begun(existing.parent):
            continue
        try:
            before = json.loads(existing.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{existing}: not JSON ({error}); choose another output folder") from None
        if existing != path and isinstance(before, dict):
            before["seed"] = config.get("seed")
        if field := first_difference(before, config):
            raise InputError(
                f"{existing.parent}: holds a run with another {field[0]} ({field[1]!r}, now {field[2]!r});"
                " choose another output folder, or undo the change"
            )
    if is_main() and not (path.is_file() and _begun(run)):
        try:
            run.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise InputError(f"{run}: a file is in its way; choose another output folder") from None
        write_text(path, json.dumps(config, indent=2) + "\n")


def _begun(run: Path) -> bool:
    """Whether a run folder holds more than its configuration: whether training has begun."""
    return any(path.name not in ("run.json", "trackers") for path in run.iterdir())


def first_difference(before: Any, now: Any, place: str = "") -> tuple[str, Any, Any] | None:
    """Find the first field in which two JSON values differ.

    :param before: one value.
    :param now: the other.
    :param place: path to them, as `recipe.train`; empty at the top.
    :return: path to the field, its value in `before` and in `now` (None where it is missing); None = the
        values are equal.
    """
    if isinstance(before, dict) and isinstance(now, dict):
        for name in sorted(before.keys() | now.keys()):
            here = f"{place}.{name}".lstrip(".")
            if found := first_difference(before.get(name), now.get(name), here):
                return found
        return None
    return None if before == now else (place, before, now)


def check_unique(seeds: Sequence[int]) -> tuple[int, ...]:
    """Check that no seed is given twice: it would count twice in the mean, and lower the standard deviation.

    :param seeds: of the runs.
    :return: the same seeds.
    :raises InputError: a seed is given twice.
    """
    repeated = [seed for number, seed in enumerate(seeds) if seed in seeds[:number]]
    if repeated:
        raise InputError(f"seed {repeated[0]} is named twice; name each once")
    return tuple(seeds)


def is_main() -> bool:
    """Whether this process is the main one, which alone writes files."""
    return bool(_processes().is_main_process)


def process_count() -> int:
    """Processes that share the run."""
    return int(_processes().num_processes)


def wait_for_everyone() -> None:
    """Wait until every process is here, so that all of them find the files that the main one wrote."""
    _processes().wait_for_everyone()


def on_cpu() -> bool:
    """Whether training runs on the CPU: there is no GPU, or ACCELERATE_USE_CPU is set."""
    from accelerate.utils import parse_flag_from_env

    return not torch.cuda.is_available() or bool(parse_flag_from_env("ACCELERATE_USE_CPU"))


def _processes() -> Any:
    """State of the processes that share the run.

    It is a singleton: the first call decides the device for the training loop too.
    """
    from accelerate import PartialState

    return PartialState(cpu=on_cpu())
