"""A text encoder as a folder: `encoder.json`, `config.json`, `tokenizer.json`, `model.safetensors`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mister_e.encoders.backbone import identify, load_backbone
from mister_e.encoders.base import fingerprint
from mister_e.encoders.lora import adapter_weights
from mister_e.encoders.weights import load_strictly
from mister_e.errors import InputError
from mister_e.files import replacing, write_text

if TYPE_CHECKING:
    from mister_e.encoders.text import TextEncoder

SPECIAL_TOKENS = (
    "bos_token",
    "pad_token",
    "eos_token",
    "cls_token",
    "sep_token",
    "mask_token",
    "unk_token",
)
_Encoder = TypeVar("_Encoder", bound="TextEncoder")


def identity(encoder: TextEncoder) -> str:
    """Hash what decides the embeddings: configuration, base, tokenizer, and the weights besides the base."""
    facts = json.loads(encoder.tokenizer.backend_tokenizer.to_str())
    # how the last call padded and cut is kept there too, and decides nothing
    facts |= {"padding": None, "truncation": None}
    tokens = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    base = identify(encoder.config.base) if encoder.config.lora is not None else ""
    return fingerprint(encoder.kind, encoder.config, f"{base} {tokens}", adapter_weights(encoder))


def save(encoder: TextEncoder, folder: Path, dtype: torch.dtype) -> None:
    """Write a folder, `encoder.json` last."""
    folder.mkdir(parents=True, exist_ok=True)
    settings: dict[str, Any] = {
        "kind": encoder.kind,
        "config": encoder.config.model_dump(exclude_defaults=True),
    }
    settings["config"]["base"] = encoder.config.base
    if encoder.config.lora is not None:
        settings["base"] = identify(encoder.config.base)
    else:
        encoder.backbone.config.save_pretrained(folder)  # type: ignore[union-attr, operator]
        encoder.tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
        settings["special_tokens"] = {
            name: getattr(encoder.tokenizer, name)
            for name in SPECIAL_TOKENS
            if getattr(encoder.tokenizer, name, None)
        }
    weights = {
        name: (value.to(dtype) if value.is_floating_point() else value).contiguous()
        for name, value in adapter_weights(encoder).items()
    }
    with replacing(folder / "model.safetensors") as temporary:
        save_file(weights, temporary)
    write_text(folder / "encoder.json", json.dumps(settings, indent=2) + "\n")


def load(kind: type[_Encoder], folder: Path) -> _Encoder:
    """Read a folder that `save` wrote."""
    from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

    from mister_e.encoders.text import TextEncoderConfig

    try:
        settings = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))
        weights = load_file(folder / "model.safetensors")
        config = TextEncoderConfig.model_validate(settings["config"])
    except FileNotFoundError as error:
        raise InputError(f"{error.filename}: missing; {folder} is not a whole text encoder") from None
    except (ValidationError, KeyError, ValueError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{folder}: not a text encoder of this version ({reason}); get it again") from None
    if config.lora is not None:
        found = identify(config.base)
        if found != settings["base"]:
            raise InputError(
                f"{folder}: its adapters belong on {config.base!r} {settings['base'][:12]}…,"
                f" but the base here is {found[:12]}…; get that base"
            )
        backbone, tokenizer = load_backbone(config.base, dtype=config.dtype, four_bit=config.four_bit)
    else:
        backbone = AutoModel.from_config(AutoConfig.from_pretrained(folder, local_files_only=True))
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=str(folder / "tokenizer.json"), **settings["special_tokens"]
        )
    encoder = kind(config, backbone, tokenizer)
    if config.lora is None:
        load_strictly(encoder, weights, folder / "model.safetensors")
    else:
        load_adapters(encoder, weights, folder / "model.safetensors")
    return encoder


def load_adapters(encoder: TextEncoder, weights: dict[str, torch.Tensor], path: Path) -> None:
    """Fill adapters and head; all of them, and no other."""
    wanted = adapter_weights(encoder)
    for problem, names in (
        ("lacks", wanted.keys() - weights.keys()),
        ("has an unexpected", weights.keys() - wanted.keys()),
    ):
        if names:
            raise InputError(
                f"{path}: it {problem} weight {min(names)!r} ({len(names)} such):"
                " it was written for another configuration, or is damaged"
            )
    encoder.load_state_dict(weights, strict=False)
