from __future__ import annotations

import io
import sys

import pytest

from mister_e.cli.progress import numbered, progress_bar
from mister_e.progress import INPUT, silent


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def watch(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make stderr a terminal; called inside the test, as pytest sets stderr anew after the fixtures."""
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


def test_on_a_terminal_the_stages_are_named(monkeypatch):
    terminal = watch(monkeypatch)
    with progress_bar(quiet=False) as progress:
        for stage in ("reading", "judging"):
            for done in range(4):
                progress(stage, done, 3)
        progress("of unknown length", 1, 0)
    assert "of unknown length" in terminal.getvalue()


def test_quiet_draws_nothing(monkeypatch):
    terminal = watch(monkeypatch)
    with progress_bar(quiet=True) as progress:
        assert progress is silent
    assert terminal.getvalue() == ""


def test_a_pipe_gets_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress_bar(quiet=False) as progress:
        assert progress is silent


def test_of_several_files_the_number_and_the_name_are_told():
    told: list[tuple[str, float, float]] = []
    report = numbered(lambda *step: told.append(step), ["a.wav", "call\x1b.wav"])
    for number in (1, 2):
        report(INPUT, number, 2)
        report("turns", 2, 5)
    assert told == [("file 1 of 2: a.wav · turns", 2, 5), ("file 2 of 2: call .wav · turns", 2, 5)]


def test_of_one_file_the_stages_are_told_as_they_are():
    told: list[tuple[str, float, float]] = []
    report = numbered(lambda *step: told.append(step), ["call.wav"])
    report(INPUT, 1, 1)
    report("turns", 2, 5)
    assert told == [("turns", 2, 5)]


def test_a_name_is_no_markup(monkeypatch):
    terminal = watch(monkeypatch)
    with progress_bar(quiet=False) as progress:
        progress("[red]a[/red].wav", 1, 2)
    assert "[red]a[/red].wav" in terminal.getvalue()
