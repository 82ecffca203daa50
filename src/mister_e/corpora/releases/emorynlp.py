"""The words that a bundled model is trained on: MELD's, and scenes of EmoryNLP with labels much alike."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from mister_e.errors import InputError

#: Label of EmoryNLP to MELD's. Powerful and peaceful turns have none: they are context alone.
EMORYNLP: Mapping[str, str] = {
    "Joyful": "joy",
    "Neutral": "neutral",
    "Mad": "anger",
    "Sad": "sadness",
    "Scared": "fear",
}
#: Words of a turn that tell a scene; shorter turns ("Oh my god!") stand in many.
_TELLING = 4
_PLACE = ("Season", "Episode", "Scene_ID")


def with_emorynlp(meld: Path, folder: Path, out: Path) -> Path:
    """Write MELD's table with scenes of EmoryNLP as further training conversations.

    Both are of one series. A scene that has a telling turn of MELD's validation or test split is left out,
    whole; what MELD has in train may come twice, with both labels.

    :param meld: MELD's table.
    :param folder: holds `emorynlp_*_final.csv`; the speakers there are not read.
    :param out: the CSV to write.
    :return: the same.
    :raises InputError: a file or a column is missing.
    """
    table = pl.read_csv(meld, infer_schema=False)
    held = table.filter(pl.col("split") != "train")["text"].fill_null("")
    scenes = emorynlp(folder, [text for text in held if len(_words(text)) >= _TELLING])
    out.parent.mkdir(parents=True, exist_ok=True)
    pl.concat([table, scenes], how="diagonal").select(table.columns).write_csv(out)
    return out


def emorynlp(folder: Path, held: Sequence[str]) -> pl.DataFrame:
    """Read the scenes of all splits that have none of some turns.

    :param folder: holds `emorynlp_*_final.csv`.
    :param held: turns that no scene may have; letters alone are compared, in upper or lower case.
    :return: `split` (train), `conversation_id`, `turn`, `utterance_id`, `text` and `label` (of MELD's;
        null = none), in their order.
    :raises InputError: a file or a column is missing.
    """
    files = sorted(folder.glob("emorynlp_*_final.csv"))
    if not files:
        raise InputError(f"{folder}: no emorynlp_*_final.csv; expected EmoryNLP's three files")
    wanted = ["Utterance", "Emotion", "Utterance_ID", *_PLACE]
    for file in files:
        columns = pl.read_csv(file, n_rows=0).columns
        missing = [name for name in wanted if name not in columns]
        if missing:
            raise InputError(f"{file}: no column {missing[0]!r}; it has {', '.join(columns)}")
    turns = pl.concat([pl.read_csv(file, columns=wanted, infer_schema=False) for file in files])
    turns = turns.with_columns(
        conversation_id=pl.concat_str([pl.lit("emorynlp"), *_PLACE], separator="-"),
        turn=pl.col("Utterance_ID").cast(pl.Int64),
    ).sort("conversation_id", "turn")
    forbidden = {_words(text) for text in held}
    known = {
        scene
        for scene, text in zip(turns["conversation_id"], turns["Utterance"].fill_null(""), strict=True)
        if _words(text) in forbidden
    }
    return turns.filter(~pl.col("conversation_id").is_in(sorted(known))).select(
        pl.lit("train").alias("split"),
        "conversation_id",
        pl.col("turn").cast(pl.String),
        utterance_id=pl.concat_str(["conversation_id", "turn"], separator="-"),
        text=pl.col("Utterance"),
        label=pl.col("Emotion").replace_strict(EMORYNLP, default=None),
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[a-z]+", re.sub("['\u2019\x92]", "", text.lower())))
