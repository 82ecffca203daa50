"""What a folder says of a model of `transformers`, looked over before that library acts on it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mister_e.errors import InputError, MisterEError
from mister_e.pretrained.model_files import read_json
from mister_e.pretrained.weights import check_weights

#: Said at every call: only what lies in the folder, and none of the code that may lie there.
DATA_ONLY: Mapping[str, Any] = {"local_files_only": True, "trust_remote_code": False}

#: What it reads; tables of tokens have readers of their own.
_DESCRIPTIONS = (
    *("config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json"),
    *("tokenizer_config.json", "special_tokens_map.json"),
)
_TOKENS = ("tokenizer.json", "vocab.json", "added_tokens.json")
#: Tables of many languages have 30 MB.
_MAX_TOKENS_BYTES = 256 * 2**20

# A kernel is compiled code from the Hub: `transformers` fetches one where this names a repository.
_IMPLEMENTATION = re.compile(r"_?(attn|experts)_implementation(_internal)?")
#: Counts of modules; larger ones are made one by one before anything could be compared.
_COUNT = re.compile(r"layer(s|)$|layers_|expert|block|depth")
_MAX_COUNT = 1000
#: Widths, and what tables of filters grow with.
_MAX_SIZES = {
    "hidden_size": 2**17,
    "d_model": 2**17,
    "intermediate_size": 2**20,
    "feature_size": 1024,
    "n_fft": 2**16,
    "num_mel_bins": 1024,
    "nb_max_frames": 2**20,
}


def check_description(folder: Path) -> None:
    """Refuse a folder whose JSON would make `transformers` fetch, open or build what no model has.

    :param folder: of a model.
    :raises InputError: names the file and the field.
    """
    if (folder / "adapter_config.json").exists():
        raise InputError(
            f"{folder / 'adapter_config.json'}: adapters of PEFT on another base; merge them into it"
            " (merge_and_unload), save the whole, and name that"
        )
    for path in (folder / name for name in _TOKENS):
        if path.is_file() and path.stat().st_size > _MAX_TOKENS_BYTES:
            raise InputError(f"{path}: has over {_MAX_TOKENS_BYTES >> 20} MiB; get the folder again")
    for path in (folder / name for name in _DESCRIPTIONS):
        if not path.exists():
            continue
        for name, value in _fields(read_json(path)):
            if _IMPLEMENTATION.fullmatch(name) and "/" in str(value):
                raise InputError(
                    f"{path}: field {name!r} names code of another repository, {value!r}; remove it"
                )
            if not isinstance(value, int):
                continue
            limit = _MAX_COUNT if _COUNT.search(name) else _MAX_SIZES.get(name)
            if limit is not None and value > limit:
                raise InputError(f"{path}: field {name!r} is {value}, over {limit}; get the folder again")


def _fields(data: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """All fields, at any depth."""
    for name, value in data.items():
        yield name, value
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict):
                yield from _fields(part)


def built(make: Callable[[], nn.Module], weights: Mapping[str, Tensor], path: Path) -> nn.Module:
    """Make a module whose weights all lie in one file: first without memory, to compare the sizes.

    :param make: makes it, of a description that is not trusted.
    :param weights: name to value.
    :param path: where they came from, for messages.
    :raises InputError: no such module can be made, or the weights are not its own.
    """
    with as_input_error(f"{path.parent}: describes no model that can be made"):
        with torch.device("meta"):
            wanted = make().state_dict()
        check_weights(wanted, weights, path)
        return make()
    raise AssertionError  # the block returns or raises


@contextmanager
def as_input_error(message: str) -> Iterator[None]:
    """Tell in one line what a library makes of a file; each has its own kinds of errors.

    :param message: begins the line, with the file's name.
    :raises InputError: the block raised anything but an error of this package or a lack of memory.
    """
    try:
        yield
    except (MisterEError, MemoryError, torch.OutOfMemoryError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a native reader of tokens panics, which is no Exception
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{message}: {reason}") from error
