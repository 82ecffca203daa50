"""Load a pretrained model whole, or say what is missing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from torch import nn

from mister_e.errors import InputError

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
        model, facts = AutoModel.from_pretrained(
            folder, local_files_only=True, output_loading_info=True, **settings
        )
    finally:
        logging.set_verbosity(verbosity)
    missing = [key for key in facts["missing_keys"] if not _UNUSED.search(key)]
    if missing:
        out = (
            "it is an encoder of mister-e's: name it as `start`, beside the base that it has"
            if (folder / "encoder.json").is_file()
            else "get the model again"
        )
        raise InputError(f"{name!r}: its files lack weight {min(missing)!r} ({len(missing)} such): {out}")
    found: nn.Module = model
    return found
