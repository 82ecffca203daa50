"""CONTRIBUTING.md names what is there, and its "How to add" stays short and proved."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "mister_e"
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
LONGEST_LINE, MOST_LINES = 130, 12

_PARTS = TEXT.split("## How to add")[1].split("### ")[1:]
SECTIONS = {part.splitlines()[0]: "\n".join(part.splitlines()[1:]) for part in _PARTS}


def files_of(text: str) -> list[str]:
    """Files and folders that a text names and that need not be made first."""
    names = re.findall(r"`([\w./-]+/[\w./-]*|[\w-]+\.(?:py|md))`", text)
    return [name for name in names if "NAME" not in name]


def place(name: str) -> Path:
    return ROOT / name if (ROOT / name).exists() else PACKAGE / name


def test_all_that_people_add_is_there():
    assert [name.split()[-1] for name in SECTIONS] == ["corpus", "encoder", "expert", "recogniser", "format"]


@pytest.mark.parametrize("name", SECTIONS)
def test_a_how_to_is_short_names_what_is_there_and_is_proved(name):
    section = SECTIONS[name]
    lines = [line for line in section.splitlines() if line.strip()]
    assert len(lines) <= MOST_LINES
    assert max(map(len, lines)) <= LONGEST_LINE
    files = files_of(section)
    assert [file for file in files if not place(file).exists()] == []
    assert [file for file in files if file.startswith("tests/extending/")], "names no test that proves it"
    sources = [place(file).read_text(encoding="utf-8") for file in files if place(file).is_file()]
    words = [word for word in re.findall(r"`([A-Za-z_]+)`", section) if "NAME" not in word]
    assert [word for word in words if not any(re.search(rf"\b{word}\b", text) for text in sources)] == []


def test_every_proof_belongs_to_a_how_to():
    for path in (ROOT / "tests" / "extending").glob("test_*.py"):
        assert f"`tests/extending/{path.name}`" in TEXT


def test_what_starts_a_process_is_marked_slow():
    for path in (ROOT / "tests").rglob("test_*.py"):
        text = path.read_text(encoding="utf-8")
        if "subprocess.Popen(" in text and path != Path(__file__):
            assert "pytest.mark.slow" in text, path.name


def test_the_glossary_is_short_and_its_classes_exist():
    rows = re.findall(r"^\| ([\w ]+) \| (.*) \|$", TEXT.split("## Words")[1].split("## ")[0], re.MULTILINE)
    assert 10 <= len(rows) - 1 <= 14
    source = "\n".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    for _, meaning in rows:
        for word in re.findall(r"`([A-Z][A-Za-z]*)`", meaning):
            assert re.search(rf"^class {word}\b", source, re.MULTILINE), word


def test_the_workflow_and_the_issue_forms_are_yaml_that_says_what_the_documents_say():
    yaml = pytest.importorskip("yaml")
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]
    machines = {(row["os"], row["python"]) for row in jobs["fast"]["strategy"]["matrix"]["include"]}
    assert machines == {
        ("ubuntu-latest", "3.12"),
        ("ubuntu-latest", "3.13"),
        ("macos-latest", "3.12"),
        ("windows-latest", "3.12"),
    }
    commands = [step.get("run", "") for job in jobs.values() for step in job["steps"]]
    targets = re.findall(r"^make ([\w./-]+)", "\n".join(commands), re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert {"install", "check", "test"} <= set(targets)
    assert [target for target in targets if f"\n{target}:" not in makefile] == []
    for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        if path.name != "config.yml":
            fields = {part["id"]: part for part in form["body"] if "id" in part}
            assert {"version", "command"} <= fields.keys()
            assert "no recording" in path.read_text(encoding="utf-8").replace("\n", " ")
