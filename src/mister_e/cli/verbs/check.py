"""`mister-e check`: what is wrong with a prepared corpus, and a repaired copy of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from mister_e.cli.messages import FAILED, exit_codes, plain, say
from mister_e.cli.options import Debug, Quiet, TableColumns, read_pairs
from mister_e.cli.outputs import to_stdout
from mister_e.cli.progress import progress_bar
from mister_e.cli.verbs import prepare
from mister_e.errors import InputError
from mister_e.files import write_text

if TYPE_CHECKING:
    from mister_e.corpora.checks.findings import Finding, Report

EPILOG = """
**Examples**

Look a prepared corpus over: `mister-e check corpora/meld`

For a script: `mister-e check corpora/meld --json report.json`

A table of your own before it is prepared: `mister-e check turns.csv --column label=emotion`

A repaired copy in `corpora/meld-fixed`: `mister-e check corpora/meld --fix`

**Exit codes**: 0 nothing or warnings; 1 errors (with --fix: in the copy); 2 bad input; 130 Ctrl-C.
"""

#: Utterances that are named after a finding, on a line; the JSON has them all.
_MAX_NAMED = 5

_STYLES = {"error": "bold red", "warning": "yellow"}


def check(
    corpus: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            show_default=False,
            help="A folder that `mister-e prepare` wrote; or a table or clips that it would read.",
        ),
    ],
    fix: Annotated[
        bool, typer.Option("--fix", help="Write a repaired copy to OUT-fixed; OUT itself is never changed.")
    ] = False,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", show_default=False, help="Also write the report as JSON."),
    ] = None,
    column: TableColumns = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Look a prepared corpus over: counts, labels, splits, texts, times and every clip."""
    with exit_codes(debug):
        # tables come with polars: bad usage is told without waiting for it
        from mister_e.corpora import checks
        from mister_e.corpora.checks.findings import Report
        from mister_e.corpora.checks.unprepared import is_unprepared, prepared
        from mister_e.corpora.store import Corpus

        if json_file is not None and not json_file.parent.is_dir():
            raise InputError(f"{json_file}: the folder {json_file.parent} does not exist; make it first")
        columns = read_pairs("--column", column, "label=emotion")
        if is_unprepared(corpus):
            if fix:
                raise InputError(f"{corpus}: is not prepared yet; run mister-e prepare, which mends it")
            with prepared(corpus, columns) as (loaded, notes), progress_bar(quiet) as progress:
                report = checks.check(loaded, progress=progress)
            _report(Report(loaded, (*report.findings, *notes), source=corpus), None, json_file, [], quiet)
            return
        if columns:
            raise InputError("--column is for a table that is not prepared yet; leave it out")
        loaded = Corpus.load(corpus)
        changes: list[str] | None = None
        with progress_bar(quiet) as progress:
            if fix:
                copy = corpus.resolve().with_name(f"{corpus.resolve().name}-fixed")
                loaded, changes = checks.fix(loaded, copy, progress=progress)
            report = checks.check(loaded, progress=progress)
        _report(report, changes, json_file, [loaded.folder] if fix else [], quiet)


def _report(
    report: Report, changes: list[str] | None, json_file: Path | None, written: list[Path], quiet: bool
) -> None:
    """Write and print a report.

    :raises typer.Exit: 1 when it holds errors.
    """
    if json_file is not None:
        write_text(json_file, _json(report, changes))
    to_stdout(render(report, changes, Console()))
    if not quiet:
        for path in written + ([json_file] if json_file else []):
            say("wrote", str(path))
    if report.errors:
        raise typer.Exit(FAILED)


def _json(report: Report, changes: list[str] | None) -> str:
    """Put the report, and what was changed, into JSON."""
    data: dict[str, Any] = report.to_json()
    if changes is not None:
        data["changed"] = changes
    return json.dumps(data, ensure_ascii=False, indent=1) + "\n"


def render(report: Report, changes: list[str] | None, console: Console) -> str:
    """Draw a report below the counts of its corpus.

    :param report: what was found.
    :param changes: what was repaired before; None = nothing was to be repaired.
    :param console: whose width and colours to use; nothing is printed on it.
    """
    with console.capture() as captured:
        for line in _lines(report, changes):
            console.print(line)
    text = "".join(line.rstrip() + "\n" for line in captured.get().splitlines())
    return f"{prepare.render(report.corpus, console)}\n{text}"


def _lines(report: Report, changes: list[str] | None) -> Iterator[Text]:
    """Yield the repairs, the findings and their sum."""
    for change in changes or ():
        yield Text.assemble(("changed ", "bold green"), plain(change))
    for finding in report.findings:
        yield _finding(finding)
    from mister_e.corpora.checks.findings import several

    total = f"{several(report.errors, 'error')}, {several(report.warnings, 'warning')}"
    if changes is not None:
        total = f"{several(len(changes), 'change')}; what remains: {total}"
    yield Text(total, style="bold")


def _finding(finding: Finding) -> Text:
    """Write one finding with the first utterances that it is about."""
    text = Text.assemble(
        (finding.level, _STYLES[finding.level]), f" {finding.code}: {plain(finding.message)}"
    )
    # the message of a finding on one turn names it
    if finding.rows and not finding.message.startswith(finding.rows[0]):
        more = ", …" if len(finding.rows) > _MAX_NAMED else ""
        text.append(plain(f" ({', '.join(finding.rows[:_MAX_NAMED])}{more})"), style="dim")
    return text
