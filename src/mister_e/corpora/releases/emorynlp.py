"""EmoryNLP: scenes of a series with emotions of its own, of which five are much like MELD's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from mister_e.corpora import build
from mister_e.corpora.base import Protocol, Row
from mister_e.corpora.store import Corpus
from mister_e.corpora.text import mend
from mister_e.errors import InputError
from mister_e.labels import MELD_EMOTIONS

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
_FILES = "emorynlp_*_final.csv"
_PLACE = ("Season", "Episode", "Scene_ID")

PROTOCOLS: Mapping[str, Protocol] = {
    "EmoryNLP-MELD": Protocol(
        "EmoryNLP-MELD",
        "emorynlp",
        MELD_EMOTIONS,
        "Joyful, Neutral, Mad, Sad and Scared as MELD's labels, Powerful and Peaceful as context; all scenes"
        " in train.",
    )
}


def prepare(
    src: str | Path,
    out: str | Path,
    *,
    protocol: str = "EmoryNLP-MELD",
    without: Corpus | None = None,
    **options: Any,
) -> Corpus:
    """Prepare EmoryNLP's scenes as further training conversations beside another corpus.

    :param src: holds `emorynlp_*_final.csv`; the speakers there are not read.
    :param out: the corpus folder to write.
    :param protocol: a name of `PROTOCOLS`.
    :param without: a corpus whose validation and test turns must not be learned: MELD is of the same series.
        A scene that has a turn of four words or more from there is left out, whole; what that corpus has in
        train may come twice, with both labels.
    :param options: those of `mister_e.corpora.build.prepare`.
    :raises InputError: a file or a column is missing.
    """
    held = () if without is None else _texts(without)
    forbidden = {words for text in held if len(words := _words(text)) >= _TELLING}

    def read(
        src: Path, protocol: Protocol, *, validate_on: str | None = None, repairs: list[str]
    ) -> list[Row]:
        if validate_on is not None:
            raise InputError("all scenes of EmoryNLP are in train; leave out validate_on")
        turns = _turns(src)
        known = {
            scene
            for scene, text in zip(turns["conversation_id"], turns["Utterance"].fill_null(""), strict=True)
            if _words(text) in forbidden
        }
        if without is not None:
            count = turns["conversation_id"].n_unique()
            repairs.append(
                f"{len(known):,} of {count:,} scenes left out: they have turns of the validation or test"
                f" split of {without.protocol.name}"
            )
        kept = turns.filter(~pl.col("conversation_id").is_in(sorted(known)))
        return [_row(values) for values in kept.iter_rows(named=True)]

    options["counts"] = False  # validation and test are empty
    return build.prepare(src, out, read, build.named(PROTOCOLS, protocol), sources=(_FILES,), **options)


def _texts(corpus: Corpus) -> list[str]:
    """Words of the turns that choose and score."""
    held = corpus.table.filter(pl.col("split") != "train")
    return held["text"].drop_nulls().to_list()


def _turns(src: Path) -> pl.DataFrame:
    """Read all files, by scene and turn; who speaks is not read."""
    files = sorted(src.glob(_FILES))
    if not files:
        raise InputError(f"{src}: no {_FILES}; expected EmoryNLP's three files")
    wanted = ["Utterance", "Emotion", "Utterance_ID", *_PLACE]
    for file in files:
        columns = pl.read_csv(file, n_rows=0).columns
        missing = [name for name in wanted if name not in columns]
        if missing:
            raise InputError(f"{file}: no column {missing[0]!r}; it has {', '.join(columns)}")
    turns = pl.concat([pl.read_csv(file, columns=wanted, infer_schema=False) for file in files])
    return turns.with_columns(
        conversation_id=pl.concat_str([pl.lit("emorynlp"), *_PLACE], separator="-"),
        turn=pl.col("Utterance_ID").cast(pl.Int64),
    ).sort("conversation_id", "turn")


def _row(values: Mapping[str, Any]) -> Row:
    """Make a row of a turn."""
    scene, turn, text = values["conversation_id"], values["turn"], values["Utterance"]
    return Row(
        scene,
        turn,
        f"{scene}-{turn}",
        None if text is None else mend(text) or None,
        None,
        None,
        EMORYNLP.get(values["Emotion"]),
        "train",
        None,
        "EmoryNLP is released as text",
    )


def _words(text: str) -> tuple[str, ...]:
    """Letters alone, in lower case; an apostrophe parts no word."""
    return tuple(re.findall(r"[a-z]+", re.sub("['\u2019\x92]", "", text.lower())))
