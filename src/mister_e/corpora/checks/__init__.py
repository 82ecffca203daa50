"""Checks of a prepared corpus, and a repaired copy of it."""

from __future__ import annotations

from pathlib import Path

from mister_e.corpora.checks import audio, known, table, text
from mister_e.corpora.checks.findings import Check, Evidence, Finding, Report
from mister_e.corpora.checks.repair import check_free, repair
from mister_e.corpora.store import Corpus
from mister_e.progress import Progress, silent

__all__ = ["CHECKS", "Check", "Evidence", "Finding", "Report", "check", "fix", "run_checks"]

#: All checks. A new one is a function `(Evidence) -> Iterator[Finding]` in one of these lists.
CHECKS: tuple[Check, ...] = (
    *table.CHECKS,
    *text.CHECKS,
    *audio.CHECKS,
    *known.CHECKS,
)


def check(corpus: Corpus, *, time_limit: float = 60.0, progress: Progress = silent) -> Report:
    """Run every check on a corpus; its clips are decoded.

    :param corpus: a prepared corpus; nothing of it is changed.
    :param time_limit: seconds that decoding one clip may take.
    :return: the findings, errors first.
    """
    return run_checks(Evidence(corpus, audio.decode_clips(corpus, time_limit=time_limit, progress=progress)))


def run_checks(evidence: Evidence) -> Report:
    """Run every check on a corpus whose clips are decoded already."""
    findings = [finding for run in CHECKS for finding in run(evidence)]
    findings.sort(key=lambda finding: finding.level != "error")
    return Report(evidence.corpus, tuple(findings))


def fix(
    corpus: Corpus, out: str | Path, *, time_limit: float = 60.0, progress: Progress = silent
) -> tuple[Corpus, list[str]]:
    """Write a repaired copy; the original stays as it is.

    :param corpus: what to repair.
    :param out: folder of the copy, which must not be there yet.
    :param time_limit: seconds that decoding one clip may take.
    :return: the copy, and what was changed; the copy holds that list as well.
    :raises InputError: the folder is there already, or cannot be written.
    """
    check_free(Path(out))
    clips = audio.decode_clips(corpus, time_limit=time_limit, progress=progress)
    return repair(Evidence(corpus, clips), Path(out))
