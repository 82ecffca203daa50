"""The backbone and the tokenizer of a text encoder that was trained whole, out of its own folder."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from torch import nn

from mister_e.encoders.backbones.description import DATA_ONLY, as_input_error, check_description
from mister_e.errors import InputError


def blank_text_backbone(folder: Path) -> Callable[[], nn.Module]:
    """Read which model `config.json` describes.

    :return: makes it, its weights still to be filled in.
    :raises InputError: it is missing, or describes no model that is known.
    """
    from transformers import AutoConfig, AutoModel

    check_description(folder)
    with as_input_error(f"{folder / 'config.json'}: describes no model that is known"):
        config = AutoConfig.from_pretrained(folder, **DATA_ONLY)
    return lambda: AutoModel.from_config(config, trust_remote_code=False)


def own_tokenizer(folder: Path, special: Any, known: Collection[str]) -> Any:
    """Read `tokenizer.json`.

    :param special: the field `special_tokens` of `encoder.json`.
    :param known: which of them there may be.
    :raises InputError: the file is no tokenizer, or the field is not what it should be.
    """
    from transformers import PreTrainedTokenizerFast

    if not isinstance(special, dict) or not all(
        name in known and isinstance(token, str) for name, token in special.items()
    ):
        raise InputError(
            f"{folder / 'encoder.json'}: field 'special_tokens' is damaged; get the folder again"
        )
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise InputError(f"{path}: missing; {folder} is not a whole text encoder")
    with as_input_error(f"{path}: is no tokenizer; get the folder again"):
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(path), **special)
        tokenizer("a\n")  # what it says of itself may be wrong in ways that show only in use
        return tokenizer


def check_tokens(folder: Path, tokenizer: Any, backbone: nn.Module) -> None:
    """Refuse a tokenizer that makes tokens which the model has no embedding of.

    :raises InputError: names the highest token.
    """
    highest = max(tokenizer.get_vocab().values(), default=-1)
    embeddings: Any = backbone.get_input_embeddings()  # type: ignore[operator]
    if highest >= embeddings.num_embeddings or tokenizer.pad_token_id is None:
        path = folder / "tokenizer.json"
        raise InputError(
            f"{path}: its tokens go up to {highest}, {tokenizer.pad_token!r} pads, and the model has"
            f" {embeddings.num_embeddings} embeddings; get the folder again"
        )
