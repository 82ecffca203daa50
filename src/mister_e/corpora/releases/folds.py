"""Which conversations the literature trains, validates and tests on, as data (`folds.json`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def folds(corpus: str) -> Mapping[str, Any]:
    """Read what the literature fixed about the splits of a corpus.

    iemocap: `erc_validation`, dialogues; `hap_without_majority`, the turns of `is_happy_by_convention`.
    mosi: `standard`, split to videos.

    :param corpus: "iemocap" or "mosi".
    """
    text = files("mister_e.corpora.releases").joinpath("folds.json").read_text(encoding="utf-8")
    corpus_folds: dict[str, Any] = json.loads(text)[corpus]
    return corpus_folds


def is_happy_by_convention(dialogue: str, start: float) -> bool:
    """Tell whether the ERC literature counts a turn of IEMOCAP as happy that has no majority label.

    The 53 turns are kept as digests: the release is signed for, and nothing of it is in here.

    :param dialogue: name of the dialogue.
    :param start: of the turn, s.
    """
    digest = hashlib.sha256(f"{dialogue} {start:.4f}".encode()).hexdigest()[:12]
    return digest in folds("iemocap")["hap_without_majority"]
