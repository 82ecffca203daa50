"""A text encoder as a folder: `encoder.json`, `config.json`, `tokenizer.json`, `model.safetensors`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from mister_e.encoders.backbone import identify, load_backbone
from mister_e.encoders.backbone_folder import check_base, fill, read, write
from mister_e.encoders.base import fingerprint
from mister_e.encoders.lora import adapter_weights

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
    facts: dict[str, Any] = {"config": encoder.config.model_dump(exclude_defaults=True)}
    facts["config"]["base"] = encoder.config.base
    if encoder.config.lora is not None:
        facts["base"] = identify(encoder.config.base)
    else:
        encoder.backbone.config.save_pretrained(folder)  # type: ignore[union-attr, operator]
        encoder.tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
        facts["special_tokens"] = {
            name: getattr(encoder.tokenizer, name)
            for name in SPECIAL_TOKENS
            if getattr(encoder.tokenizer, name, None)
        }
    write(encoder, folder, dtype, facts)


def load(kind: type[_Encoder], folder: Path) -> _Encoder:
    """Read a folder that `save` wrote."""
    from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

    from mister_e.encoders.text import TextEncoderConfig

    saved = read(folder, TextEncoderConfig, "text encoder")
    config = saved.config
    if config.lora is not None:
        check_base(folder, config.base, saved.settings)
        backbone, tokenizer = load_backbone(config.base, dtype=config.dtype, four_bit=config.four_bit)
    else:
        backbone = AutoModel.from_config(AutoConfig.from_pretrained(folder, local_files_only=True))
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=str(folder / "tokenizer.json"), **saved.settings["special_tokens"]
        )
    encoder = kind(config, backbone, tokenizer)
    fill(encoder, saved.weights, folder)
    return encoder
