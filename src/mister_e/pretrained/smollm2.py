"""SmolLM2 out of its GGUF wheel, converted to safetensors once (about 15 s) in the user's cache."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

from mister_e.errors import MisterEError
from mister_e.pretrained.cache import made_once


def converted(source: Callable[[], Path], target: Path, install: str) -> Path:
    """Find the converted weights, or make them; see `made_once`.

    :param source: finds the GGUF file and verifies it, where it is needed.
    :param target: the folder of the result.
    :param install: the line that installs what reads GGUF.
    :return: `target`.
    :raises MisterEError: what reads GGUF is not installed.
    """

    def make(folder: Path) -> None:
        if not all(importlib.util.find_spec(name) for name in ("accelerate", "gguf")):
            raise MisterEError(f"reading GGUF weights needs an extra: {install}")
        _convert(source(), folder)

    return made_once(target, make)


def _convert(source: Path, folder: Path) -> None:
    """Write the weights as safetensors, and the tokenizer."""
    import torch
    from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    where = {"gguf_file": source.name, "local_files_only": True, "trust_remote_code": False}
    model = AutoModelForCausalLM.from_pretrained(
        source.parent, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True), **where
    )
    # plain weights from here on: whoever reads the folder need not know of GGUF
    settings = model.config.to_dict()
    settings.pop("quantization_config", None)
    config = type(model.config).from_dict(settings)
    plain = AutoModel.from_config(config, dtype=torch.bfloat16, trust_remote_code=False)
    plain.load_state_dict(model.get_decoder().state_dict())
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source.parent, **where).save_pretrained(folder)
