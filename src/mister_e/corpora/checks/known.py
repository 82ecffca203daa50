"""Checks for known defects of the corpora, which a prepared folder alone does not show."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from mister_e.corpora.checks.findings import Check, Evidence, Finding, several
from mister_e.corpora.releases.folds import is_happy_by_convention
from mister_e.corpora.releases.meld import BAD_CLIPS


def meld(evidence: Evidence) -> Iterator[Finding]:
    """Report MELD's bad clips, and whether each is marked."""
    if evidence.corpus.protocol.corpus != "meld":
        return
    for row in evidence.table.filter(pl.col("id").is_in(list(BAD_CLIPS))).iter_rows(named=True):
        name = row["id"]
        if row["speech_missing"] is None and row["audio"] is not None:
            message = f"{name}: {BAD_CLIPS[name]}, and yet it is used"
            yield Finding("error", "meld-clip-used", message, (name,))
        else:
            message = f"{name}: {BAD_CLIPS[name]}; the turn stays, its speech is missing"
            yield Finding("warning", "meld-clip", message, (name,))


def meld_times(evidence: Evidence) -> Iterator[Finding]:
    """Report MELD's turn without length."""
    name = "test_dia155_utt3"
    row = evidence.table.filter(pl.col("id") == name)
    if evidence.corpus.protocol.corpus == "meld" and row.height and row["end"][0] is None:
        yield Finding("warning", "meld-no-length", f"{name}: the csv gives it no length", (name,))


def iemocap(evidence: Evidence) -> Iterator[Finding]:
    """Report IEMOCAP's scripted turns, and those labelled without a majority."""
    if evidence.corpus.protocol.corpus != "iemocap" or "improvised" not in evidence.table.columns:
        return
    test = evidence.table.filter((pl.col("split") == "test") & pl.col("label").is_not_null())
    scripted = test.filter(~pl.col("improvised"))
    if scripted.height:
        message = (
            f"{scripted.height / test.height:.0%} of the labelled turns of test are scripted, and their words"
            " repeat those of train: report improvised and scripted turns apart"
        )
        yield Finding("warning", "iemocap-scripted", message)
    happy = evidence.table.filter(pl.col("label") == "hap").select("id", "conversation", "start")
    ids = tuple(
        name for name, dialogue, start in happy.iter_rows() if is_happy_by_convention(dialogue, start or 0.0)
    )
    if ids:
        number = several(len(ids), "turn")
        message = f"{number} labelled hap without a majority of annotators, as in the literature"
        yield Finding("warning", "iemocap-no-majority", message, ids)


def mosi(evidence: Evidence) -> Iterator[Finding]:
    """Report CMU-MOSI's segment without length."""
    if evidence.corpus.protocol.corpus != "mosi":
        return
    name = "2WGyTLYerpo_44"
    row = evidence.table.filter(pl.col("id") == name)
    if row.height and row["end"][0] is None:
        yield Finding("warning", "mosi-no-length", f"{name}: the release gives it no length", (name,))


CHECKS: tuple[Check, ...] = (meld, meld_times, iemocap, mosi)
