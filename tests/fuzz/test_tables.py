"""Mutated tables, manifests and split files give rows or an `InputError` in one line, and nothing else."""

from __future__ import annotations

import io
import json
import random
import re
from pathlib import Path

import polars as pl
import pytest
from fuzzing import SEED, TIMES

from mister_e.corpora import clips, table
from mister_e.corpora.own_splits import read_splits
from mister_e.errors import InputError
from mister_e.evaluation.labelled import read_labelled

HEAD = ["conversation_id", "turn", "utterance_id", "text", "audio", "start", "end", "label", "split", "f0"]
#: Mutations of each seed.
TRIALS = 40 * TIMES
LABELS = ("joy", "anger", "Café")


def rows() -> list[list[str]]:
    """Eight turns of four conversations."""
    return [_row(n, k) for n in range(4) for k in range(2)]


def _row(n: int, k: int) -> list[str]:
    names = [f"c{n}", f"{k}.0", f"u{n}{k}", f'Words "{n}", and;\nmore.', f"in\\{n}.wav"]
    times = [f"{k},5", f"0:00:0{k + 1}.5"]
    return [*names, *times, LABELS[(n + k) % 3], ("train", "dev", "test")[n % 3], f"{n}.25"]


def delimited(head: list[str], body: list[list[str]], separator: str = ",", end: str = "\n") -> str:
    def cell(text: str) -> str:
        doubled = text.replace('"', '""')
        return f'"{doubled}"' if re.search(rf'["\r\n{separator}]', text) else text

    return "".join(separator.join(map(cell, row)) + end for row in [head, *body])


def seeds() -> list[tuple[str, bytes]]:
    """A small file of every kind."""
    body = rows()
    objects = [dict(zip(HEAD, row, strict=True)) | {"turn": k % 2} for k, row in enumerate(body)]
    parquet = io.BytesIO()
    pl.DataFrame(objects).write_parquet(parquet)
    manifest = [[f"in/{n}.wav", LABELS[n % 3], "Well.", f"v{n}", "0,5"] for n in range(4)]
    columns = ["file", "emotion", "text", "speaker", "seconds"]
    splits = delimited(["conversation_id", "split"], [[f"c{n}", "train"] for n in range(4)])
    return [
        ("t.csv", delimited(HEAD, body).encode()),
        ("t.csv", ("sep=;\n" + delimited(HEAD, body, ";", "\r")).encode("utf-16")),
        ("t.csv", delimited(HEAD, body, ";", "\r\n").encode("cp1252")),
        ("t.tsv", delimited(HEAD, body, "\t").encode("utf-8-sig")),
        ("t.jsonl", "\n".join(json.dumps(each) for each in objects).encode()),
        ("t.parquet", parquet.getvalue()),
        ("manifest.csv", delimited(columns, manifest).encode()),
        ("manifest.csv", delimited(columns, manifest, ";", "\r").encode("utf-16-le")),
        ("splits.csv", splits.encode()),
        ("splits.json", b'{"c0": "train", "c1": "dev", "c2": "test"}'),
    ]


#: What is put into a file: cells and marks that programs, people and enemies write.
PIECES = [
    b"", b"\0", b"\r", b"\n", b"\r\n", b'"', b'""', b",", b";", b"\t", b"|", b"sep=,\n", b"\xff", b"\xff\xfe",
    b"\xef\xbb\xbf", b"\xed\xa0\xbd", b"\x85", b"nan", b"None", b"N/A", b"-1", b"1e300", b"1e999", b"-inf",
    b"1,250", b"0:01:99", b"9" * 5000, b"9:" * 3000, b"../../etc/passwd", b"C:\\a.wav", b"joy", b"JOY",
    b"=1+1", b"{}", b"[", b"[" * 3000, b"\\ud83d", b"\\u0000", b"null", b"true", b"1e5", b"x" * 140_000,
    b"label", b"conversation_id", b"speaker", "\u2028\u200b٣".encode(), "é".encode("utf-16-le"),
]  # fmt: skip


def mutated(data: bytes, draw: random.Random) -> bytes:
    """Change a few places: put something in, take bytes out, double or swap stretches, flip bits."""
    result = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 3, 8))):
        at = draw.randrange(len(result) + 1)
        until = min(len(result), at + draw.choice((0, 0, 1, 4, 40)))
        match draw.randrange(6):
            case 0 | 1:
                result[at:until] = draw.choice(PIECES)
            case 2:
                del result[at:until]
            case 3:
                result[at:at] = result[at : at + 60]
            case 4 if result:
                result[min(at, len(result) - 1)] ^= 1 << draw.randrange(8)
            case 5:
                # a cell: what stands between two marks
                cells = [match.span() for match in re.finditer(rb"[^,;\t\r\n]+", bytes(result))]
                if cells:
                    first, last = draw.choice(cells)
                    result[first:last] = draw.choice(PIECES)
    return bytes(result) if draw.random() < 0.9 else bytes(result[: draw.randrange(len(result) + 1)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with the clips that the tables name."""
    place = tmp_path_factory.mktemp("fuzz") / "src"
    (place / "in").mkdir(parents=True)
    for number in range(4):
        (place / "in" / f"{number}.wav").touch()
    return place


def read(path: Path, out: Path) -> int:
    """Read a file by the reader of its name.

    :return: number of rows.
    """
    if path.name == "manifest.csv":
        read_labelled(path.parent)
        return len(clips.read_manifest(path.parent))
    if path.stem == "splits":
        return len(read_splits(path))
    return len(table.prepare(path, out, features=["f0"], counts=False))


@pytest.mark.parametrize("number", range(len(seeds())))
def test_a_mutated_table_gives_rows_or_one_line(folder, number):
    name, data = seeds()[number]
    path, out = folder / name, folder.parent / "out"
    path.write_bytes(data)
    assert read(path, out) >= 3, "the seed itself is fine"
    draw = random.Random(f"{SEED} {number}")
    outcomes = {True: 0, False: 0}
    for trial in range(TRIALS):
        changed = mutated(data, draw)
        path.write_bytes(changed)
        try:
            read(path, out)
        except InputError as error:
            message = str(error)
            assert "\n" not in message, (trial, message)
            assert len(message) < 5000, (trial, message[:200])
            outcomes[False] += 1
        except BaseException as error:
            error.add_note(f"trial {trial} of {name}: {changed[:3000]!r}")
            raise
        else:
            outcomes[True] += 1
    assert all(outcomes.values()), outcomes
