"""Splits that the literature uses, as data (`folds.json`)."""

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
    """Whether the literature counts a turn of IEMOCAP without a majority label as happy.

    The 53 turns are stored as digests: the release needs a signed agreement, so nothing of it is here.

    :param dialogue: name of the dialogue.
    :param start: of the turn, in seconds.
    """
    digest = hashlib.sha256(f"{dialogue} {start:.4f}".encode()).hexdigest()[:12]
    return digest in folds("iemocap")["hap_without_majority"]
