"""A progress bar on stderr."""

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
def progress_bar(quiet: bool) -> Iterator[Progress]:
    """Give the progress hook that draws a bar, or a silent one where stderr is no terminal.

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
    last = ("", 0.0)

    def report(stage: str, done: float, total: float) -> None:
        nonlocal last
        if stage != last[0] or done < last[1]:
            bar.reset(task, description=stage, total=total or None)
        last = (stage, done)
        bar.update(task, completed=done, total=total or None)

    return report
