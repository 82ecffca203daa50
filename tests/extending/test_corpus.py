"""CONTRIBUTING, "A corpus": a release with one sheet of turns and a clip of each."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

READER = '''
"""Toy: `turns.txt` has a line a turn (dialogue, number, split, label, words), `clips` the sound."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mister_e.corpora import build
from mister_e.corpora.base import Protocol, Row
from mister_e.corpora.store import Corpus
from mister_e.errors import InputError
from mister_e.labels import LabelSet

_LABELS = LabelSet(("calm", "glad"))
PROTOCOLS: Mapping[str, Protocol] = {
    "TOY-2": Protocol("TOY-2", "toy", _LABELS, "Two moods.", {"train": 2, "validation": 2, "test": 2})
}


def read(src: Path, protocol: Protocol, *, validate_on: str | None = None, repairs: list[str]) -> list[Row]:
    """Read the sheet."""
    sheet = src / "turns.txt"
    if not sheet.is_file():
        raise InputError(f"{src}: no turns.txt; give the folder of the release")
    rows = []
    for line in sheet.read_text(encoding="utf-8").splitlines():
        dialogue, turn, split, label, words = line.split(" ", 4)
        clip = f"clips/{dialogue}_{turn}.wav"
        missing = None if (src / clip).is_file() else "no clip in the release"
        rows.append(
            Row(
                conversation_id=dialogue, turn=int(turn), utterance_id=f"{dialogue}_{turn}", text=words,
                start=None, end=None, label=label, split=split,
                audio=None if missing else clip, speech_missing=missing,
            )
        )
    return rows


def prepare(src: str | Path, out: str | Path, *, protocol: str = "TOY-2", **options: Any) -> Corpus:
    """Prepare the release."""
    options.setdefault("sources", ("turns.txt",))
    return build.prepare(src, out, read, build.named(PROTOCOLS, protocol), **options)
'''
SHEET = """\
a 0 train calm Good morning.
a 1 train glad You came!
b 0 validation glad It is spring.
b 1 validation calm So it is.
c 0 test calm I see.
c 1 test glad Wonderful!
"""


def release(folder: Path) -> Path:
    (folder / "clips").mkdir(parents=True)
    (folder / "turns.txt").write_text(SHEET, encoding="utf-8")
    samples = (3000 * np.sin(np.arange(8000) / 10)).astype("<i2")
    for name in ("a_0", "a_1", "b_0", "b_1", "c_1"):
        with wave.open(str(folder / "clips" / f"{name}.wav"), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", ""))
            file.writeframes(samples.tobytes())
    return folder


def test_a_new_corpus_is_prepared_and_checked_by_the_command_line(copy, tmp_path):
    copy.add("corpora/releases/toy.py", READER)
    copy.edit(
        "corpora/__init__.py",
        ("iemocap, meld, mosi\n", "iemocap, meld, mosi, toy\n"),
        ('    "mosi",\n', '    "mosi",\n    "toy",\n'),
        (
            '        "mosi": "releases.mosi",\n',
            '        "mosi": "releases.mosi",\n        "toy": "releases.toy",\n',
        ),
    )
    copy.edit("cli/verbs/prepare.py", ('Literal["meld", ', 'Literal["toy", "meld", '))
    source, out = release(tmp_path / "release"), tmp_path / "corpus"
    said = copy.python("-m", "mister_e", "prepare", "toy", source, out)
    assert "TOY-2" in said
    copy.python("-m", "mister_e", "check", out)
    code = (
        "import sys; from mister_e.corpora import Corpus\n"
        "length = lambda turn: 0 if turn.audio is None else len(turn.audio.load())\n"
        "for talk in Corpus.load(sys.argv[1]).conversations():\n"
        "    print(talk.id, *(f'{turn.label}:{length(turn)}' for turn in talk))"
    )
    assert copy.python("-c", code, out).splitlines() == [
        "a calm:8000 glad:8000",
        "b glad:8000 calm:8000",
        "c calm:0 glad:8000",
    ]
