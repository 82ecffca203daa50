"""What the documents say is so."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import typer

from mister_e.cli import app

ROOT = Path(__file__).parents[2]


def fields_of(*rows: dict) -> set[str]:
    return {name for row in rows for name in row}


def test_every_field_of_the_json_is_documented_and_no_other(run, chat, tmp_path):
    text = (ROOT / "docs" / "output.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`.*?) \|", text.split("## JSON Lines")[0], flags=re.MULTILINE)
    documented = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    data = json.loads(run("analyze", chat, tmp_path / "missing.wav", "--format", "json").stdout)
    turns = [turn for one in data["conversations"] for turn in one["utterances"]]
    assert documented == fields_of(data, data["model"], *data["conversations"], *turns, *data["errors"])


def test_every_option_in_the_documents_exists():
    options = {
        name
        for command in typer.main.get_command(app).commands.values()
        for parameter in command.params
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    for path in (ROOT / "docs" / "use.md", ROOT / "docs" / "output.md"):
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", path.read_text(encoding="utf-8")))
        assert named <= options, path.name


def test_the_python_of_the_readme_runs(recording, tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    shutil.copy(recording, tmp_path / "call.wav")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(code, names)
    assert len(names["table"]) == len(capsys.readouterr().out.splitlines()) > 0
    assert (tmp_path / "call.html").stat().st_size > 0
