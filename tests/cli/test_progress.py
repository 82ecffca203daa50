from __future__ import annotations

import io
import sys

import pytest

from mister_e.cli.progress import shown
from mister_e.hooks import silent


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
    with shown(quiet=False) as progress:
        for stage in ("reading", "judging"):
            for done in range(4):
                progress(stage, done, 3)
        progress("of unknown length", 1, 0)
    assert "of unknown length" in terminal.getvalue()


def test_quiet_draws_nothing(monkeypatch):
    terminal = watch(monkeypatch)
    with shown(quiet=True) as progress:
        assert progress is silent
    assert terminal.getvalue() == ""


def test_a_pipe_gets_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with shown(quiet=False) as progress:
        assert progress is silent
