"""Read the turns that the bundled model is trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mister_e.audio.prosody import STATISTICS
from mister_e.errors import InputError
from mister_e.labels import MELD_EMOTIONS, SYNONYMS

#: Emotion column of plain read speech.
PLAIN = "unlabelled_read"
PIECE_SECONDS = 3.0
MOST_PIECES = 3


@dataclass(frozen=True)
class TableConversation:
    """A conversation of a prepared table: words and statistics, no sound.

    :param id: name of the conversation.
    :param texts: T turns.
    :param labels: T positions in the label set.
    :param statistics: float32 `[T, 8]`, NaN = undefined.
    :param heard: bool `[T]`, False = the clip is missing.
    """

    id: str
    texts: tuple[str, ...]
    labels: tuple[int, ...]
    statistics: NDArray[np.float32]
    heard: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class ActedClip:
    """A clip of a speech corpus.

    :param path: its file.
    :param corpus: name of the corpus.
    :param speaker: who is heard: only to hold whole voices out, never seen by a model.
    :param label: position in the label set.
    :param start: first second heard.
    :param end: last second heard; None = to the end.
    :param gender: "women" or "men", where the corpus tells.
    """

    path: Path
    corpus: str
    speaker: str
    label: int
    start: float = 0.0
    end: float | None = None
    gender: str = ""


def read_table(path: Path) -> dict[str, list[TableConversation]]:
    """Read a prepared MELD table.

    :param path: CSV with `split, conversation_id, turn, text, label` and the eight statistics.
    :return: split to conversations, turns in order.
    :raises InputError: a column is missing.
    """
    table = pl.read_csv(path, infer_schema_length=None)
    wanted = ["split", "conversation_id", "turn", "text", "label", *STATISTICS]
    missing = [name for name in wanted if name not in table.columns]
    if missing:
        raise InputError(f"{path}: no column {missing[0]!r}; it has {', '.join(table.columns)}")
    suspect = pl.col("audio_suspect") if "audio_suspect" in table.columns else pl.lit(False)
    table = table.with_columns(
        heard=pl.col("duration").is_not_null() & ~suspect,
        **{name: pl.col(name).cast(pl.Float32) for name in STATISTICS},
    )
    splits: dict[str, list[TableConversation]] = {}
    for (split, conversation), rows in table.sort("turn").group_by(
        ["split", "conversation_id"], maintain_order=True
    ):
        splits.setdefault(str(split), []).append(
            TableConversation(
                str(conversation),
                tuple(rows["text"].fill_null("")),
                tuple(MELD_EMOTIONS.index(name) for name in rows["label"]),
                rows.select(STATISTICS).fill_null(float("nan")).to_numpy().astype(np.float32),
                rows["heard"].to_numpy(),
            )
        )
    return {split: sorted(rows, key=lambda one: one.id) for split, rows in splits.items()}


def read_clips(folder: Path) -> list[ActedClip]:
    """Read the `manifest.csv` of a speech corpus; clips of other emotions are left out.

    :param folder: holds `manifest.csv` with `file, speaker, emotion, corpus`.
    :raises InputError: there is no manifest.
    """
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        raise InputError(f"{manifest}: missing; expected a folder of clips with a manifest")
    clips = []
    for row in pl.read_csv(manifest).iter_rows(named=True):
        # read speech has no label: it is taken as neutral in training alone
        name = "neutral" if row["emotion"] == PLAIN else SYNONYMS.get(row["emotion"], row["emotion"])
        if name in MELD_EMOTIONS:
            clip = ActedClip(
                folder / row["file"],
                row["corpus"],
                row["speaker"],
                MELD_EMOTIONS.index(name),
                gender=_gender(row),
            )
            clips += [clip] if row["emotion"] != PLAIN else _pieces(clip, row["seconds"])
    return clips


def _gender(row: Mapping[str, Any]) -> str:
    """Gender of the voice, where the manifest or the naming of RAVDESS (even = women) tells it."""
    if row["corpus"] == "ravdess":
        return ("women", "men")[int(row["speaker"][-2:]) % 2]
    return {"f": "women", "m": "men"}.get(row.get("gender") or "", "")


def _pieces(clip: ActedClip, seconds: float) -> list[ActedClip]:
    """Cut read speech to pieces about as long as acted clips, so that length does not tell the corpus."""
    starts = [PIECE_SECONDS * i for i in range(MOST_PIECES) if PIECE_SECONDS * (i + 1) <= seconds]
    return [replace(clip, start=start, end=start + PIECE_SECONDS) for start in starts]


def by_voice(clips: Sequence[ActedClip], *, seed: int = 0) -> dict[str, list[ActedClip]]:
    """Split clips into train, validation and test (70, 15, 15 %) by whole voices of each corpus.

    :param clips: any number of corpora.
    :param seed: which voices go where.
    """
    random = np.random.default_rng(seed)
    splits: dict[str, list[ActedClip]] = {"train": [], "validation": [], "test": []}
    for corpus in sorted({clip.corpus for clip in clips}):
        mine = [clip for clip in clips if clip.corpus == corpus]
        voices = sorted({clip.speaker for clip in mine})
        random.shuffle(voices)
        held = max(1, round(0.15 * len(voices)))
        place = dict.fromkeys(voices, "train")
        place |= dict.fromkeys(voices[:held], "test") | dict.fromkeys(voices[held : 2 * held], "validation")
        for clip in mine:
            splits[place[clip.speaker]].append(clip)
    return splits
