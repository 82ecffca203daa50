"""Nothing leaves this machine: no look-up, no connection, no file in the user's home."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mister_e.pipeline import Pipeline

RECORDING = Path(__file__).parents[2] / "samples" / "conversation.flac"

VARIABLES = ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK")


def fresh(home: Path) -> dict[str, str]:
    """The environment of a person who never used anything here."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "HF_", "ORT_"))}
    home.mkdir()
    return {k: v for k, v in own.items() if k not in VARIABLES} | {
        "HOME": str(home),
        "LOCALAPPDATA": str(home),
    }


def test_the_guard_refuses_what_is_elsewhere(no_network):
    for ask in (
        lambda: socket.create_connection(("192.0.2.1", 9), timeout=1),
        lambda: socket.getaddrinfo("example.invalid", 443),
        lambda: socket.gethostbyname("example.invalid"),
        lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"", ("192.0.2.1", 9)),
    ):
        with pytest.raises(OSError, match="tests reach no network"):
            ask()
    assert len(no_network) == 4
    no_network.clear()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        assert no_network == []


@pytest.mark.slow
def test_onnx_runtime_leaves_nothing_in_the_home(tmp_path):
    script = """
import mister_e.errors  # any part of the package will do
import faster_whisper.vad
faster_whisper.vad.get_vad_model()
"""
    subprocess.run([sys.executable, "-c", script], env=fresh(tmp_path / "home"), check=True)
    assert list((tmp_path / "home").rglob("*")) == []


@pytest.mark.slow
def test_telemetry_is_off_in_the_processes_of_this_one(tmp_path):
    show = f"import os; print([os.environ.get(name) for name in {VARIABLES}])"
    script = f"import subprocess, sys, mister_e; subprocess.run([sys.executable, '-c', {show!r}], check=True)"
    shown = subprocess.run(
        [sys.executable, "-c", script],
        env=fresh(tmp_path / "home") | {"ORT_DISABLE_TELEMETRY": "0"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert shown.stdout.strip() == "['1', '1', '1']"


def test_telemetry_that_another_library_began_hears_nothing_of_ours(monkeypatch):
    import onnxruntime

    calls: list[str] = []
    monkeypatch.setattr(onnxruntime, "disable_telemetry_events", lambda: calls.append("off"))
    import importlib

    import mister_e

    importlib.reload(mister_e)
    assert calls == ["off"]
    assert mister_e.Pipeline is Pipeline


@pytest.mark.slow
@pytest.mark.posix
def test_recognition_of_four_recordings_asks_nothing_of_the_network(tmp_path):
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace, which shows what the kernel is asked for, by native threads too")
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    for name in "abcd":
        shutil.copy(RECORDING, recordings / f"{name}.flac")
    trace, out, home = tmp_path / "trace", tmp_path / "out.json", tmp_path / "home"
    command = [sys.executable, "-m", "mister_e", "analyze", str(recordings), "-o", str(out)]
    done = subprocess.run(
        [strace, "-f", "-e", "trace=network", "-o", str(trace), *command],
        env=fresh(home),
        check=False,
        capture_output=True,
        text=True,
    )
    if "Operation not permitted" in done.stderr and not out.exists():
        pytest.skip("strace may not look at a process here")
    assert done.returncode == 0, done.stderr
    assert out.read_text(encoding="utf-8").count('"confidence"') >= 4
    asked = trace.read_text(encoding="utf-8").splitlines()
    # what stays within the machine: pairs of pipes, and the name of the user by glibc
    outward = [line for line in asked if re.search(r"AF_(?!UNIX|LOCAL)|sin6?_addr", line)]
    assert outward == []
    assert list(home.rglob("*")) == []
