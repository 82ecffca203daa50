"""A small encoder as a folder: `model.safetensors` with all its weights, and `encoder.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mister_e.encoders.base import UtteranceEncoder
from mister_e.errors import InputError
from mister_e.files import replacing, write_text

_Config = TypeVar("_Config", bound=BaseModel)


def save(encoder: UtteranceEncoder, folder: Path, **facts: Any) -> None:
    """Write a folder, `encoder.json` last.

    :param encoder: all of its weights are kept.
    :param folder: made where it is missing.
    :param facts: more fields of `encoder.json`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "model.safetensors") as temporary:
        save_file({name: value.contiguous() for name, value in encoder.state_dict().items()}, temporary)
    settings = {"kind": encoder.kind, "config": encoder.config.model_dump(mode="json"), **facts}
    write_text(folder / "encoder.json", json.dumps(settings, indent=2) + "\n")


def load(folder: Path, config: type[_Config]) -> tuple[_Config, dict[str, Tensor], dict[str, Any]]:
    """Read what `save` wrote.

    :param folder: of an encoder.
    :param config: model of its configuration.
    :return: configuration, weights, and the whole of `encoder.json`.
    :raises InputError: a file is missing or damaged.
    """
    try:
        settings = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))
        weights = load_file(folder / "model.safetensors")
        return config.model_validate(settings["config"]), weights, settings
    except FileNotFoundError as error:
        raise InputError(f"{error.filename}: missing; {folder} is not a whole encoder") from None
    except (ValidationError, KeyError, TypeError, ValueError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{folder}: no encoder of this version ({reason}); get it again") from None
