"""Counts of a corpus table, as stored in `corpus.json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from mister_e.corpora.base import SPLITS, Protocol


def counts(table: pl.DataFrame, protocol: Protocol, features: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Count per split: conversations, utterances, labelled, speech_missing, and each label.

    :param table: one row an utterance.
    :param features: the columns that hold speech features.
    """
    has_speech = pl.any_horizontal(
        pl.col("audio").is_not_null(), *(pl.col(name).is_not_null() for name in features)
    )
    lacks_speech = pl.col("speech_missing").is_not_null() | ~has_speech
    result: dict[str, dict[str, Any]] = {}
    for split in SPLITS:
        rows = table.filter(pl.col("split") == split)
        labels = dict(rows.group_by("label").len().iter_rows())
        result[split] = {
            "conversations": rows["conversation"].n_unique(),
            "utterances": rows.height,
            "labelled": rows["label"].count(),
            "speech_missing": rows.filter(lacks_speech).height,
            "labels": {label: labels.get(label, 0) for label in protocol.labels},
        }
    return result
