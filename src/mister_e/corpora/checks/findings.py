"""Types of the checks: findings, the evidence that checks look at, and the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import polars as pl

from mister_e.corpora.store import Corpus

#: A clip whose largest sample is below this counts as silent (-60 dB of full scale).
_SILENT = 1e-3

Level = Literal["error", "warning"]


def several(count: int, noun: str) -> str:
    """Count things: 1 turn, 2,000 turns."""
    return f"1 {noun}" if count == 1 else f"{count:,} {noun}s"


@dataclass(frozen=True)
class Finding:
    """A defect or a peculiarity of a corpus.

    :param level: "error" = scores on this corpus would be wrong; "warning" = worth knowing.
    :param code: name of the kind of finding, stable.
    :param message: one sentence.
    :param rows: ids of the utterances concerned; empty = the whole corpus or a split.
    """

    level: Level
    code: str
    message: str
    rows: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dict."""
        return {"level": self.level, "code": self.code, "message": self.message, "rows": list(self.rows)}


@dataclass(frozen=True)
class DecodedClip:
    """Result of decoding a clip.

    :param fault: why it cannot be decoded; None = it can.
    :param seconds: length of what was decoded.
    :param peak: its largest sample, 0 to 1.
    """

    fault: str | None = None
    seconds: float = 0.0
    peak: float = 0.0

    @property
    def silent(self) -> bool:
        """Whether it was decoded and is silent."""
        return self.fault is None and self.peak < _SILENT


@dataclass(frozen=True)
class Evidence:
    """What checks look at: a corpus, and the results of decoding its clips.

    :param corpus: what is checked.
    :param clips: row of the table to the result of decoding its clip; without rows that lack speech.
    """

    corpus: Corpus
    clips: Mapping[int, DecodedClip] = field(default_factory=dict)

    @property
    def table(self) -> pl.DataFrame:
        """One row an utterance."""
        return self.corpus.table

    def ids(self, rows: list[int]) -> tuple[str, ...]:
        """Ids of some rows."""
        return tuple(self.table["id"].gather(rows)) if rows else ()


#: A check: looks at the evidence and yields what it finds.
Check = Callable[[Evidence], Iterator[Finding]]


@dataclass(frozen=True)
class Report:
    """All findings on a corpus.

    :param corpus: what was checked.
    :param findings: errors first.
    :param source: the table or folder that the corpus was made of for the checks; None = it is the corpus.
    """

    corpus: Corpus
    findings: tuple[Finding, ...]
    source: Path | None = None

    @property
    def errors(self) -> int:
        """Number of findings that are errors."""
        return sum(finding.level == "error" for finding in self.findings)

    @property
    def warnings(self) -> int:
        """Number of findings that are warnings."""
        return len(self.findings) - self.errors

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dict."""
        return {
            "corpus": str(self.source or self.corpus.folder),
            "protocol": self.corpus.protocol.name,
            "utterances": len(self.corpus),
            "errors": self.errors,
            "warnings": self.warnings,
            "findings": [finding.to_json() for finding in self.findings],
        }
