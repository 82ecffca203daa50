"""An encoder as a folder: `encoder.json` (its kind and configuration) and `model.safetensors`.

A frozen base stays where it is: its identity is written, and the weights that were trained on it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from pydantic import BaseModel
from safetensors.torch import save_file
from torch import Tensor

from mister_e.encoders.backbones.lora import adapter_weights
from mister_e.encoders.base import UtteranceEncoder
from mister_e.errors import InputError
from mister_e.files import replacing, write_text
from mister_e.pretrained.model_files import check_links, read_json, read_tensors
from mister_e.pretrained.weights import load_strictly

_Config = TypeVar("_Config", bound=BaseModel)


@dataclass(frozen=True)
class Saved(Generic[_Config]):
    """What a folder holds.

    :param config: of the encoder.
    :param settings: the whole of `encoder.json`.
    :param weights: what `model.safetensors` holds.
    """

    config: _Config
    settings: Mapping[str, Any]
    weights: Mapping[str, Tensor]


def write(
    encoder: UtteranceEncoder,
    folder: Path,
    *,
    dtype: torch.dtype | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write the weights that are not a frozen base's, then `encoder.json`, so that half a folder is none.

    :param encoder: its `backbone` may carry adapters, or be frozen whole.
    :param folder: made where it is missing.
    :param dtype: precision of the weights on disk; None = as they are.
    :param metadata: `encoder.json` besides `kind`; None = the configuration alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: (value.to(dtype) if dtype and value.is_floating_point() else value).contiguous()
        for name, value in adapter_weights(encoder).items()
    }
    with replacing(folder / "model.safetensors") as temporary:
        save_file(weights, temporary)
    metadata = metadata or {"config": encoder.config.model_dump(mode="json")}
    write_text(folder / "encoder.json", json.dumps({"kind": encoder.kind, **metadata}, indent=2) + "\n")


def read(folder: Path, config: type[_Config], noun: str) -> Saved[_Config]:
    """Read what `write` wrote.

    :param folder: of an encoder.
    :param config: model of its configuration.
    :param noun: what the folder should be, such as "text encoder".
    :raises InputError: a file is missing or damaged.
    """
    try:
        check_links(folder)
        settings = read_json(folder / "encoder.json")
        weights = read_tensors(folder / "model.safetensors")
        return Saved(config.model_validate(settings["config"]), settings, weights)
    except FileNotFoundError as error:
        raise InputError(f"{error.filename}: missing; {folder} is not a whole {noun}") from None
    except InputError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{folder}: not a {noun} of this version ({reason}); get it again") from None


def fill(encoder: UtteranceEncoder, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Fill in the weights that are not a frozen base's; all of them, and no other.

    :raises InputError: a weight is missing, unexpected or of another shape.
    """
    load_strictly(encoder, weights, folder / "model.safetensors", only=adapter_weights(encoder))
