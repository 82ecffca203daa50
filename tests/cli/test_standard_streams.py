"""Standard streams that are closed, full, or whose reader has left."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.posix, pytest.mark.slow]

COMMAND = f"{sys.executable} -m mister_e"


def shell(script: str, **options) -> subprocess.CompletedProcess:
    """Run a line of bash with $M for the command."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not there")
    return subprocess.run(
        [bash, "-o", "pipefail", "-c", f"M='{COMMAND}'; {script}"], capture_output=True, text=True, **options
    )


@pytest.mark.parametrize("verb", ["--help", "models"])
@pytest.mark.parametrize("closed", [">&-", ">&- 2>&- <&-", "| true"])
def test_what_only_tells_something_ends_well(verb, closed):
    done = shell(f"$M {verb} {closed}")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "code", "closed"),
    [
        ("analyze gone.wav", 2, "2>&-"),
        ("analyze --nope", 2, "2>&- >&-"),
        ("check gone", 2, "2>&1 | true"),
        ("models gone", 2, "2>/dev/full"),
    ],
)
def test_bad_usage_keeps_its_code(words, code, closed, tmp_path):
    done = shell(f"$M {words} {closed}", cwd=tmp_path)
    assert done.returncode == code
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize("closed", [">&- 2>&- <&-", "2>/dev/full", "2>&1 | true"])
def test_results_are_written_whatever_the_streams(closed, tmp_path):
    (tmp_path / "chat.txt").write_text("I am so happy!\nOh no.\n")
    done = shell(f"$M analyze chat.txt -o chat.json -o - {closed}", cwd=tmp_path)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr + done.stdout
    written = (tmp_path / "chat.json").read_text(encoding="utf-8")
    assert len(json.loads(written)["conversations"][0]["utterances"]) == 2


@pytest.mark.parametrize(("words", "code"), [("--help", 1), ("models", 2)])
def test_a_full_disk_is_told(words, code):
    done = shell(f"$M {words} > /dev/full")
    assert done.returncode == code
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
