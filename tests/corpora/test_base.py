"""A corpus folder: written whole or not at all, resumed where it stopped, read quickly and lazily."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mister_e.corpora import SPLITS, Corpus, Protocol, Row, build
from mister_e.corpora.extraction.decoder import Decoder
from mister_e.corpora.text import decode, mend
from mister_e.errors import InputError
from mister_e.labels import LabelSet

LABELS = LabelSet(("calm", "glad"))
TOY = Protocol("TOY-2", "toy", LABELS, "Two labels.")
CLI = [sys.executable, "-c", "from mister_e.cli import main; main()"]


def row(conversation: str = "a", turn: int = 0, **values) -> Row:
    defaults = {"text": "Hi.", "start": None, "end": None, "label": "calm", "split": "train", "audio": None}
    return Row(conversation, turn, f"{conversation}{turn}", **{**defaults, **values})


def prepare(src: Path, out: Path, rows: Sequence[Row], protocol: Protocol = TOY, **options) -> Corpus:
    def read(src, protocol, *, validate_on=None, repairs):
        return list(rows)

    src.mkdir(exist_ok=True)
    options.setdefault("counts", False)  # most rows here are of one split
    return build.prepare(src, out, read, protocol, **options)


def write_tone(path: Path, seconds: float = 0.2, rate: int = 8000, frequency: float = 200) -> Path:
    path.parent.mkdir(exist_ok=True)
    tone = np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((tone * 9000).astype("<i2").tobytes())
    return path


def write_slow(path: Path) -> Path:
    """A WAV that says it holds 3 GB of samples, which take no room on the disk but long to decode."""
    write_tone(path)
    size, channels, rate = 3_000_000_000, 8, 192_000
    with path.open("r+b") as file:
        file.seek(4)
        file.write((size + 36).to_bytes(4, "little"))
        file.seek(22)
        file.write(channels.to_bytes(2, "little") + rate.to_bytes(4, "little"))
        file.write((rate * channels * 2).to_bytes(4, "little") + (channels * 2).to_bytes(2, "little"))
        file.seek(40)
        file.write(size.to_bytes(4, "little"))
        file.truncate(size + 44)
    return path


def clips(src: Path, count: int) -> list[Row]:
    for number in range(count):
        write_tone(src / f"{number}.wav")
    return [row(turn=number, audio=f"{number}.wav") for number in range(count)]


def extracted(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (out / "audio").rglob("*.wav")}


def test_what_is_written_is_what_is_read(tmp_path):
    rows = [
        row("b", 1, start=1.5, end=2.0, label=None, features={"f0": 120.0}, custom={"improvised": True}),
        row("b", 0, text=None, features={"level": 60.5}),
        row("c", 0, split="test", label="glad", custom={"score": 1.25, "sentiment": "positive"}),
    ]
    corpus = prepare(tmp_path / "src", tmp_path / "out", rows)
    first, second = corpus.conversations()
    assert [turn.id for turn in first] == ["b0", "b1"]
    assert first.utterances[0].text is None
    assert first.utterances[0].custom == {"features": {"level": 60.5}}
    assert first.utterances[1].custom == {"features": {"f0": 120.0}, "improvised": True}
    assert (first.utterances[1].start, first.utterances[1].label) == (1.5, None)
    assert second.utterances[0].custom == {"score": 1.25, "sentiment": "positive"}
    assert len(corpus) == 3
    assert corpus.protocol == TOY
    assert corpus.counts["train"] == {
        "conversations": 1,
        "utterances": 2,
        "labelled": 1,
        "speech_missing": 0,
        "labels": {"calm": 1, "glad": 0},
    }


def test_conversations_come_by_split_in_the_order_of_their_rows(tmp_path):
    splits = ["test", "train", "validation", "train"]
    rows = [row(f"c{n}", turn, split=split) for n, split in enumerate(splits) for turn in (2, 1)]
    corpus = prepare(tmp_path / "src", tmp_path / "out", rows)
    assert [c.id for c in corpus.conversations()] == ["c1", "c3", "c2", "c0"]
    assert [c.id for c in corpus.conversations("train")] == ["c1", "c3"]
    assert [t.id for t in next(corpus.conversations("test"))] == ["c01", "c02"]
    assert corpus.table["split"].unique(maintain_order=True).to_list() == list(SPLITS)
    with pytest.raises(InputError, match="no split 'dev'"):
        corpus.conversations("dev")


def test_conversations_are_made_one_at_a_time(tmp_path):
    many = [row(f"c{number}") for number in range(50)]
    corpus = prepare(tmp_path / "src", tmp_path / "out", many)
    # the last one cannot be made: a lazy reader does not notice before it gets there
    broken = corpus.table.with_columns(
        id=pl.when(pl.col("conversation") == "c49").then(pl.lit("")).otherwise("id")
    )
    conversations = Corpus(corpus.folder, broken, corpus.metadata).conversations()
    assert [next(conversations).id for _ in range(49)] == [f"c{number}" for number in range(49)]
    with pytest.raises(InputError, match="needs an id"):
        next(conversations)


@pytest.mark.parametrize("form", ["wav", "flac"])
def test_extraction_gives_16_khz_mono_of_the_same_sound(tmp_path, form):
    write_tone(tmp_path / "src" / "x.wav", 1.0, rate=44_100, frequency=500)
    rows = [row(audio="x.wav"), row(turn=1, audio="x.wav", stretch=(0.25, 0.75))]
    turns = next(
        prepare(tmp_path / "src", tmp_path / "out", rows, audio=form, jobs=2).conversations()
    ).utterances
    whole, part = (turn.audio.load() for turn in turns)
    assert (len(whole), len(part)) == (16_000, 8_000)
    spectrum = np.abs(np.fft.rfft(whole))
    assert np.argmax(spectrum) == 500
    assert turns[0].audio.source.endswith(f"out/audio/a/a0.{form}")
    assert (turns[1].audio.start, turns[1].audio.end) == (0.0, None)
    referred = next(prepare(tmp_path / "src", tmp_path / "none", rows).conversations()).utterances
    assert np.abs(referred[1].audio.load() - part).max() < 1e-3


def test_a_corpus_that_was_extracted_can_be_moved(tmp_path):
    prepare(tmp_path / "src", tmp_path / "out", clips(tmp_path / "src", 1), audio="wav")
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    (turn,) = next(Corpus.load(tmp_path / "elsewhere").conversations())
    assert len(turn.audio.load()) == 3200


def test_ids_of_any_kind_make_files_inside_the_folder(tmp_path):
    (audio,) = [row.audio for row in clips(tmp_path / "src", 1)]
    names = ["../../up", "a/b", "a%2Fb", ".hidden", "zażółć", "x" * 300, "x" * 299 + "y"]
    rows = [replace(row(name, audio=audio), utterance_id=name) for name in names]
    corpus = prepare(tmp_path / "src", tmp_path / "out", rows, audio="wav")
    files = {Path(c.utterances[0].audio.source).resolve() for c in corpus.conversations()}
    assert len(files) == len(names)
    assert all(file.is_relative_to(corpus.folder.resolve() / "audio") and file.is_file() for file in files)


def test_finished_clips_are_not_extracted_again(tmp_path):
    src, out = tmp_path / "src", tmp_path / "out"
    rows = clips(src, 4)
    prepare(src, out, rows, audio="wav")
    before = extracted(out)
    (out / "corpus.json").unlink()
    next((out / "audio").rglob("*1.wav")).unlink()
    (out / "audio" / "a" / ".a2.wav.x.part").write_bytes(b"of a run that was killed")
    os.utime(write_tone(src / "3.wav", 0.4), ns=(1, 1))  # another clip under the same name
    corpus = prepare(src, out, rows, audio="wav")
    after = extracted(out)
    assert {name for name in before if before[name] != after[name]} == {"a1.wav", "a3.wav"}
    assert len(next(corpus.conversations()).utterances[3].audio.load()) == 6400
    assert not list(out.rglob("*.part"))


def test_a_line_of_the_journal_that_was_cut_short_is_done_again(tmp_path):
    src, out = tmp_path / "src", tmp_path / "out"
    rows = clips(src, 3)
    prepare(src, out, rows, audio="wav")
    journal = out / "audio" / "done.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    before = extracted(out)
    for _ in range(2):
        prepare(src, out, rows, audio="wav")
    after = extracted(out)
    assert sum(before[name] != after[name] for name in before) == 1
    assert len([line for line in journal.read_text().splitlines() if line.endswith("}")]) == 3


def test_progress_counts_every_turn_also_those_done_before(tmp_path):
    src, out = tmp_path / "src", tmp_path / "out"
    rows = clips(src, 3)
    seen: list = []

    def progress(stage, done, total):
        seen.append((stage, done, total))

    prepare(src, out, rows[:1], audio="wav")
    prepare(src, out, rows, audio="wav", jobs=2, progress=progress)
    assert seen == [("reading annotations", 0, 0), ("extracting audio", 2, 3), ("extracting audio", 3, 3)]


def test_another_stretch_is_extracted_anew(tmp_path):
    write_tone(tmp_path / "src" / "x.wav", 1.0)
    for end in (0.5, 0.75):
        rows = [row(audio="x.wav", stretch=(0.0, end))]
        corpus = prepare(tmp_path / "src", tmp_path / "out", rows, audio="wav")
        assert len(next(corpus.conversations()).utterances[0].audio.load()) == end * 16_000


@pytest.mark.posix
@pytest.mark.slow
def test_killed_on_the_way_nothing_looks_whole_and_nothing_is_lost(tmp_path):
    count = 150
    for number in range(count):
        write_tone(tmp_path / "src" / f"{number}.wav")
    lines = [f"c,{n},Hi.,{n}.wav,{('calm', 'glad')[n % 2]},train\n" for n in range(count - 1)]
    head = "conversation_id,turn,text,audio,label,split\n"
    (tmp_path / "src" / "t.csv").write_text(
        head + "".join(lines) + f"d,0,Hi.,{count - 1}.wav,calm,validation\n"
    )
    out = tmp_path / "out"
    words = ["prepare", "table", str(tmp_path / "src" / "t.csv"), str(out), "--audio", "wav", "--any-counts"]
    process = subprocess.Popen([*CLI, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journal = out / "audio" / "done.jsonl"
    while process.poll() is None and (not journal.exists() or journal.read_text().count("}") < 3):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.2)  # the decoders notice that nobody listens
    before = extracted(out)
    if process.returncode == -signal.SIGKILL:
        with pytest.raises(InputError, match="run mister-e prepare"):
            Corpus.load(out)
    done = {json.loads(line)["target"] for line in journal.read_text().splitlines() if line.endswith("}")}
    assert subprocess.run([*CLI, *words], capture_output=True).returncode == 0
    after = extracted(out)
    assert len(after) == count
    assert len(done) >= 3
    assert all(before[Path(path).name] == after[Path(path).name] for path in done)
    assert not list(out.rglob("*.part"))
    assert not list(out.rglob(".spool"))


@pytest.mark.slow
@pytest.mark.posix
@pytest.mark.parametrize("largest", [0, 20, 3000])
def test_a_full_disk_leaves_no_half_corpus(tmp_path, largest):
    """Files may not grow beyond a size, which fails a write as a full disk does."""
    import resource

    write_tone(tmp_path / "src" / "x.wav", 1.0)
    table = tmp_path / "src" / "t.csv"
    table.write_text("conversation_id,text,audio,label,split\na,Hi.,x.wav,calm,train\nb,No.,,glad,dev\n")
    out = tmp_path / "out"
    words = ["prepare", "table", str(table), str(out), "--audio", "wav", "--any-counts"]
    run = subprocess.run(
        [*CLI, *words],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest)),
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert run.returncode == 2
    assert "make room" in run.stderr
    assert not (out / "corpus.json").exists()
    assert not list(out.rglob("*.wav"))
    assert subprocess.run([*CLI, *words], capture_output=True).returncode == 0
    assert len(Corpus.load(out)) == 2


def test_a_full_disk_leaves_the_corpus_before_as_it_was(tmp_path):
    src, out = tmp_path / "src", tmp_path / "out"
    prepare(src, out, [row()])
    before = (out / "corpus.json").read_bytes()
    # the table is newer than the file about it: as after a kill between the two
    table = pl.read_parquet(out / "corpus.parquet").with_columns(text=pl.lit("Other."))
    table.write_parquet(out / "corpus.parquet")
    assert (out / "corpus.json").read_bytes() == before
    with pytest.raises(InputError, match=r"is not the table that corpus\.json is about"):
        Corpus.load(out)


def test_a_clip_that_holds_up_the_decoder_is_given_up(tmp_path):
    rows = clips(tmp_path / "src", 3)
    write_slow(tmp_path / "src" / "1.wav")
    corpus = prepare(tmp_path / "src", tmp_path / "out", rows, audio="wav", time_limit=1.0)
    turns = next(corpus.conversations()).utterances
    assert [turn.audio is None for turn in turns] == [False, True, False]
    assert corpus.table["speech_missing"].to_list()[1] == "decoding it took longer than 1 s"
    assert corpus.counts["train"]["speech_missing"] == 1
    assert not list((tmp_path / "out").rglob("*.part"))


def test_a_clip_that_cannot_be_decoded_names_its_reason(tmp_path):
    rows = [*clips(tmp_path / "src", 1), row(turn=1, audio="bad.wav"), row(turn=2, audio="gone.wav")]
    (tmp_path / "src" / "bad.wav").write_bytes(b"RIFF no more")
    corpus = prepare(tmp_path / "src", tmp_path / "out", rows, audio="wav", jobs=2)
    reasons = corpus.table["speech_missing"].to_list()
    assert reasons[0] is None
    assert "not audio or video" in reasons[1]
    assert "no such file" in reasons[2]
    assert str(tmp_path) not in reasons[1]
    assert sum("speech missing" in note for note in corpus.metadata["repaired"]) == 2


def test_a_decoder_that_died_is_started_again(tmp_path):
    clip = write_tone(tmp_path / "x.wav")
    decoder = Decoder(30.0)
    try:
        assert decoder(clip, tmp_path / "1.wav", None).fault is None
        decoder.kill()
        assert decoder(clip, tmp_path / "2.wav", None).fault == "the decoder crashed on it"
        assert decoder(clip, tmp_path / "2.wav", None).fault is None
    finally:
        decoder.close()
    assert (tmp_path / "1.wav").read_bytes() == (tmp_path / "2.wav").read_bytes()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "not one utterance"),
        ([row(label="sad")], "label 'sad' is not one of calm, glad"),
        ([row(split="dev")], "split 'dev'"),
        ([row(), row()], "is there twice"),
        ([row(), row(turn=1, split="test")], "belongs to one split"),
        ([row(start=2.0, end=1.0)], r"from 2\.0 to 1\.0 s"),
        ([row(start=float("nan"), end=1.0)], "expected seconds"),
        ([row(start=-1.0)], "expected seconds"),
        ([row(features={"label": 1.0})], "column 'label'"),
    ],
)
def test_rows_that_are_no_conversations_are_refused(tmp_path, rows, message):
    with pytest.raises(InputError, match=message):
        prepare(tmp_path / "src", tmp_path / "out", rows)
    assert not (tmp_path / "out" / "corpus.json").exists()


def test_counts_are_those_of_the_protocol(tmp_path):
    protocol = replace(TOY, expected={"train": 2}, expected_labels={"train": {"calm": 1, "glad": 1}})
    protocol = replace(protocol, expected_conversations={"train": 1})
    assert Protocol.from_json(protocol.to_json()) == protocol
    rest = [row("b", split="validation"), row("c", split="test")]
    rows = [row(), row(turn=1, label="glad"), row(turn=2, label=None), *rest]
    assert len(prepare(tmp_path / "src", tmp_path / "out", rows, protocol, counts=True)) == 5
    for wrong, message in (
        ([rows[0], *rest], "train has 1 labelled"),
        ([row(), row(turn=1), *rest], "2 utterances labelled calm"),
        (rows[:4], "test has no labelled utterance"),
        ([*rows, row("d", label=None)], "train has 2 conversations, expected 1"),
    ):
        with pytest.raises(InputError, match=message):
            prepare(tmp_path / "src", tmp_path / "no", wrong, protocol, counts=True)
        assert not (tmp_path / "no").exists()
        assert len(prepare(tmp_path / "src", tmp_path / "any", wrong, protocol, counts=False)) == len(wrong)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (None, None, "run mister-e prepare"),
        ("corpus.json", b"{", "not written by mister-e prepare"),
        ("corpus.json", b'{"format": 99, "table_sha256": ""}', "format 99"),
        ("corpus.parquet", b"PAR1", r"is not the table that corpus\.json is about"),
    ],
)
def test_loading_what_is_no_corpus_raises(tmp_path, name, content, message):
    out = tmp_path / "out"
    if name is not None:
        prepare(tmp_path / "src", out, [row()])
        (out / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        Corpus.load(out)


def test_places_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        build.prepare(tmp_path / "none", tmp_path / "out", lambda *_, **__: [], TOY)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"):
        prepare(tmp_path / "src", tmp_path / "file", [row()])
    with pytest.raises(InputError, match="cannot be made"):
        prepare(tmp_path / "src", tmp_path / "file" / "out", [row()])
    with pytest.raises(InputError, match="audio is 'mp3', expected none, wav, flac"):
        prepare(tmp_path / "src", tmp_path / "out", [row()], audio="mp3")


def test_text_of_old_archives_is_mended():
    assert mend("\ufeff It\x92s \x93fine\x94\xa0\x85 ") == "It\u2019s \u201cfine\u201d \u2026"
    assert mend(decode("Zażółć gęślą".encode())) == "Zażółć gęślą"
    assert mend(decode(b"It\x92s")) == "It\u2019s"
    assert mend("\x81\x8d") == ""  # mean nothing in Windows-1252
