"""What the documents say is so."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import typer

from mister_e.cli import app
from mister_e.training.recipe import read_recipe

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md"), *(ROOT / "samples").glob("*.md")])


def fields_of(*rows: dict) -> set[str]:
    return {name for row in rows for name in row}


def test_every_field_of_the_json_is_documented_and_no_other(run, chat, tmp_path):
    text = (ROOT / "docs" / "output.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`.*?) \|", text.split("## JSON Lines")[0], flags=re.MULTILINE)
    documented = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    data = json.loads(run("analyze", chat, tmp_path / "missing.wav", "--words", "--format", "json").stdout)
    turns = [turn for one in data["conversations"] for turn in one["utterances"]]
    assert documented == fields_of(data, data["model"], *data["conversations"], *turns, *data["errors"])


def options_of(verb: str) -> set[str]:
    """Options of a verb."""
    command = typer.main.get_command(app).commands[verb]
    return {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help"}


def test_every_option_in_the_documents_exists():
    options = set().union(*map(options_of, typer.main.get_command(app).commands))
    for path in (ROOT / "docs" / "use.md", ROOT / "docs" / "output.md"):
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", path.read_text(encoding="utf-8")))
        assert named <= options, path.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_in_the_documents_has_its_verb_and_options(page):
    lines = page.read_text(encoding="utf-8").splitlines()
    commands = [re.search(r"^mister-e (.*)", line) or re.search(r"`mister-e ([^`]*)", line) for line in lines]
    for words in (shlex.split(found[1], comments=True) for found in commands if found):
        if re.fullmatch("[a-z]+", words[0]):
            named = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
            assert named <= options_of(words[0]), " ".join(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_and_every_file_of_ours_in_the_documents_is_there(page):
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if not link.startswith("http"):
            file, _, heading = link.partition("#")
            target = page.parent / file if file else page
            assert target.exists(), link
            titles = (
                re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE) if heading else []
            )
            anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            assert not heading or heading in anchors, link
    for name in re.findall(r"`([a-z][\w*-]*/[\w*./-]*\w\.(?:py|yaml|md|json|flac|srt|html|css))`", text):
        places = (ROOT, ROOT / "src" / "mister_e")
        assert "NAME" in name or any(list(place.glob(name)) for place in places), name


def test_every_field_that_the_documents_set_is_one_of_a_recipe():
    recipe = ROOT / "recipes" / "meld" / "mini.yaml"
    found = [
        change.strip("'")
        for page in PAGES
        for change in re.findall(r"--set ('[^']*'|[\w.=-]+)", page.read_text(encoding="utf-8"))
    ]
    assert len(found) >= 2
    for change in found:
        read_recipe(recipe, [change])


def test_the_python_of_the_readme_runs(recording, tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    shutil.copy(recording, tmp_path / "call.wav")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(code, names)
    assert len(names["table"]) == len(capsys.readouterr().out.splitlines()) > 0
    assert (tmp_path / "call.html").stat().st_size > 0
