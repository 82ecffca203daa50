"""Looking a prepared corpus over: every check there is, in one report."""

from __future__ import annotations

from pathlib import Path

from mister_e.corpora.checks import audio, known, table, text
from mister_e.corpora.checks.findings import Check, Evidence, Finding, Report
from mister_e.corpora.checks.repair import check_free, repair
from mister_e.corpora.store import Corpus
from mister_e.progress import Progress, silent

__all__ = ["CHECKS", "Check", "Evidence", "Finding", "Report", "check", "fix", "judge"]

#: Every check. One more is one more function `(Evidence) -> Iterator[Finding]`.
CHECKS: tuple[Check, ...] = (
    *table.CHECKS,
    *text.CHECKS,
    *audio.CHECKS,
    *known.CHECKS,
)


def check(corpus: Corpus, *, time_limit: float = 60.0, progress: Progress = silent) -> Report:
    """Look a corpus over, its clips too.

    :param corpus: a prepared corpus; nothing of it is changed.
    :param time_limit: seconds that decoding one clip may take.
    :return: what was found, errors first.
    """
    return judge(Evidence(corpus, audio.listen(corpus, time_limit=time_limit, progress=progress)))


def judge(evidence: Evidence) -> Report:
    """Run every check on evidence that was gathered."""
    findings = [finding for one in CHECKS for finding in one(evidence)]
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
    sounds = audio.listen(corpus, time_limit=time_limit, progress=progress)
    return repair(Evidence(corpus, sounds), Path(out))
