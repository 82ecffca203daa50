"""The models that come with this package, and how a model's name becomes its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mister_e.errors import InputError

__all__ = ["bundled", "model_folder"]

_HERE = Path(__file__).parent


def bundled() -> list[dict[str, Any]]:
    """Describe the bundled models: the `config.json` of each, as it stands."""
    configs = sorted(_HERE.glob("*/config.json"))
    return [json.loads(path.read_text(encoding="utf-8")) | {"folder": str(path.parent)} for path in configs]


def is_bundled(name: str) -> bool:
    """Tell whether a model of this name comes with the package."""
    return (_HERE / name / "config.json").is_file()


def is_hub_id(model: str | Path) -> bool:
    """Tell whether a name asks the Hugging Face Hub: it is neither a folder here nor a bundled name."""
    name = str(model)
    here = isinstance(model, Path) or Path(name).is_dir() or is_bundled(name)
    return not here and name.count("/") == 1


def model_folder(model: str | Path, *, revision: str | None = None, token: str | None = None) -> Path:
    """Find the folder of a model.

    :param model: a bundled name, a folder, or a Hugging Face Hub id (`owner/name`).
    :param revision: of a Hub model: a branch, tag or commit; None = the main branch.
    :param token: for the Hub; None = that of `hf auth login`.
    :return: the folder, on this machine.
    :raises InputError: nothing of that name can be found.
    """
    if isinstance(model, Path) or Path(model).is_dir():
        if not Path(model).is_dir():
            raise InputError(f"{model}: no such folder")
        return Path(model)
    if is_bundled(str(model)):
        return _HERE / model
    if is_hub_id(model):
        from mister_e.pretrained.weights import check_no_folder, hub_folder

        check_no_folder(str(model))
        return hub_folder(str(model), revision=revision, token=token)
    names = ", ".join(config["name"] for config in bundled())
    raise InputError(
        f"unknown model {model!r}: the bundled ones are {names};"
        " a folder or a Hugging Face Hub id (owner/name) works too"
    )
