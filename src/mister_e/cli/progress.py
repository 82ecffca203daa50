"""A progress bar on stderr, for people who watch."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mister_e.cli.messages import plain
from mister_e.progress import INPUT, Progress, silent

if TYPE_CHECKING:
    from rich.progress import Progress as Bar


@contextmanager
def shown(quiet: bool) -> Iterator[Progress]:
    """Give the hook that draws the stages, or a silent one where nobody watches.

    :param quiet: draw nothing even on a terminal.
    """
    if quiet or not sys.stderr.isatty():
        yield silent
        return
    # rich.progress takes a while to import: only where a bar is drawn
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        yield _reporter(bar)


def numbered(progress: Progress, names: Sequence[str]) -> Progress:
    """Say before every stage which file of several it is about.

    :param progress: what is told.
    :param names: of the inputs, in the order in which they begin.
    """
    head = ""

    def report(stage: str, done: float, total: float) -> None:
        nonlocal head
        if stage == INPUT:
            head = plain(f"file {done:.0f} of {total:.0f}: {names[round(done) - 1]} · ") if total > 1 else ""
        else:
            progress(f"{head}{stage}", done, total)

    return report


def _reporter(bar: Bar) -> Progress:
    """Show one stage at a time: a new one, or one that starts over, begins a fresh estimate."""
    task = bar.add_task("starting", total=None)
    before = ("", 0.0)

    def report(stage: str, done: float, total: float) -> None:
        nonlocal before
        if stage != before[0] or done < before[1]:
            bar.reset(task, description=stage, total=total or None)
        before = (stage, done)
        bar.update(task, completed=done, total=total or None)

    return report
