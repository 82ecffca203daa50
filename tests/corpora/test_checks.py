"""What the checks find in a corpus with one defect at a time, and what the repaired copy holds."""

from __future__ import annotations

import json
import math
import os
import wave
from pathlib import Path

import polars as pl
import pytest
from iemocap_tree import tone
from meld_tree import meld_tree
from typer.testing import CliRunner

from mister_e.cli import app
from mister_e.corpora import Corpus, checks, table
from mister_e.corpora.checks.findings import DecodedClip, Evidence, Finding
from mister_e.corpora.releases import iemocap, meld
from mister_e.corpora.rows import counts
from mister_e.corpora.store import write
from mister_e.corpora.text import unscrambled
from mister_e.errors import InputError

LABELS = ("joy", "anger")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Prepare a small corpus without a defect: three splits of two conversations of two turns."""
    folder = tmp_path_factory.mktemp("sound")
    lines = ["conversation_id,turn,utterance_id,text,audio,start,end,label,split"]
    for number in range(6):
        split = ("train", "validation", "test")[number // 2]
        for turn in range(2):
            name = f"c{number}_{turn}"
            tone(folder / f"{name}.wav", 0.5, 200 + 20 * number + 5 * turn)
            lines.append(
                f"c{number},{turn},{name},Words of {name}.,{name}.wav,{turn},{turn}.5,{LABELS[turn]},{split}"
            )
    (folder / "turns.csv").write_text("\n".join(lines) + "\n")
    return table.prepare(folder / "turns.csv", folder / "out", labels=LABELS, audio="wav")


@pytest.fixture
def damaged(sound, tmp_path):
    """Give the corpus with other cells: column to id to value; its counts follow."""

    def change(**columns) -> Corpus:
        out = sound.table
        for name, cells in columns.items():
            out = edited(out, name, cells)
        metadata = about(sound) | {"audio_root": str(sound.folder)}
        metadata["counts"] = counts(out, sound.protocol, metadata["features"])
        return write(tmp_path / "out", out, metadata)

    return change


def edited(frame: pl.DataFrame, column: str, cells: dict) -> pl.DataFrame:
    """Change cells of a column, by the id of their row."""
    values = [cells.get(row, value) for row, value in zip(frame["id"], frame[column], strict=True)]
    return frame.with_columns(pl.Series(column, values, frame.schema[column]))


def about(corpus: Corpus) -> dict:
    """Copy what is told of a corpus, to change it; nothing of a certain table."""
    metadata = json.loads(json.dumps(dict(corpus.metadata)))
    return {name: value for name, value in metadata.items() if name not in ("format", "table_sha256")}


def found(corpus: Corpus, clips=None) -> dict[str, Finding]:
    findings = checks.run_checks(Evidence(corpus, clips or {})).findings
    assert len({finding.code for finding in findings}) == len(findings)
    return {finding.code: finding for finding in findings}


def only(corpus: Corpus, clips=None) -> Finding:
    (finding,) = found(corpus, clips).values()
    return finding


def test_a_corpus_without_a_defect_has_no_findings(sound):
    report = checks.check(sound)
    assert report.findings == ()
    assert (report.errors, report.warnings) == (0, 0)


@pytest.mark.parametrize(
    ("columns", "code", "level", "rows"),
    [
        ({"end": {"c0_1": 0.5}}, "times-reversed", "error", ("c0_1",)),
        ({"start": {"c0_1": -1.0}}, "times-reversed", "error", ("c0_1",)),
        ({"start": {"c0_1": math.nan}}, "times-reversed", "error", ("c0_1",)),
        ({"start": {"c0_1": 1.5}}, "times-zero", "warning", ("c0_1",)),
        ({"end": {"c0_1": 31.5}}, "times-long", "warning", ("c0_1",)),
        ({"start": {"c0_0": 3.0}, "end": {"c0_0": 4.0}}, "times-order", "warning", ("c0_1",)),
        ({"end": {"c0_0": 9.0, "c0_1": 9.0}}, "times-overlap", "warning", ("c0_1",)),
        ({"text": {"c2_0": None}}, "text-missing", "warning", ("c2_0",)),
        ({"text": {"c2_0": "  "}}, "text-empty", "warning", ("c2_0",)),
        ({"text": {"c2_0": "NaN"}}, "text-placeholder", "warning", ("c2_0",)),
        ({"label": {"c2_0": "nan"}}, "label-placeholder", "error", ("c2_0",)),
        ({"label": {"c2_0": "N/A", "c2_1": "None"}}, "label-placeholder", "error", ("c2_0",)),
        ({"label": {"c2_0": "None"}}, "label-none", "warning", ("c2_0",)),
        ({"label": {"c2_0": "JOY {}"}}, "label-unknown", "error", ("c2_0",)),
        ({"text": {"c2_0": "I\x92m"}}, "encoding-windows", "error", ("c2_0",)),
        ({"text": {"c2_0": "cafÃ©"}}, "encoding-scrambled", "error", ("c2_0",)),
        ({"text": {"c2_0": "caf\ufffd"}}, "encoding-lost", "warning", ("c2_0",)),
        ({"text": {"c4_0": "words -- of c0_0"}}, "text-repeated", "warning", ("c4_0",)),
        ({"label": {"c2_0": "glee"}}, "label-unknown", "error", ("c2_0",)),
        ({"split": {"c1_1": "test"}}, "conversation-across-splits", "error", ("c1_0", "c1_1")),
        ({"turn": {"c1_1": 0}}, "turn-twice", "error", ("c1_0", "c1_1")),
        ({"id": {"c1_1": "c1_0"}}, "id-twice", "error", ("c1_0", "c1_0")),
    ],
)
def test_a_defect_of_a_row(damaged, columns, code, level, rows):
    finding = found(damaged(**columns))[code]
    assert (finding.level, finding.rows) == (level, rows)


def test_defects_of_one_row_are_told_once(damaged):
    assert only(damaged(text={"c2_0": "I\x92m"})).code == "encoding-windows"
    assert only(damaged(end={"c0_1": 0.5})).code == "times-reversed"
    assert only(damaged(id={"c1_1": "c1_0"})).code == "id-twice"


def test_a_class_under_two_names(damaged):
    finding = found(damaged(label={"c2_0": "JOY"}))["label-spelling"]
    assert (finding.level, len(finding.rows)) == ("error", 6)
    assert "(joy, JOY)" in finding.message


def test_a_table_is_checked_as_it_lies(sound, tmp_path):
    folder = sound.folder.parent
    text = (folder / "turns.csv").read_text()
    odd = text.replace("conversation_id,turn", "conversation_id,turns").replace("joy", "JOY", 1)
    (folder / "odd.csv").write_text(odd)
    before = sorted(path.name for path in folder.iterdir())
    report = tmp_path / "r.json"
    words = ["check", str(folder / "odd.csv"), "--column", "turn=turns", "--json", str(report)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "label JOY (1): the same class as joy" in " ".join(done.stdout.split())
    written = json.loads(report.read_text())
    assert written["corpus"] == str(folder / "odd.csv")
    assert {"read-as"} == {finding["code"] for finding in written["findings"]}
    assert sorted(path.name for path in folder.iterdir()) == before

    (folder / "odd.csv").write_text(text + "c9,0\n")
    done = CliRunner().invoke(app, ["check", str(folder / "odd.csv")])
    assert done.exit_code == 2
    assert "odd.csv, row 13, line 14: fewer cells than columns (2 for 9)" in done.stderr
    done = CliRunner().invoke(app, ["check", str(folder / "turns.csv"), "--fix"])
    assert (done.exit_code, "is not prepared yet" in done.stderr) == (2, True)
    done = CliRunner().invoke(app, ["check", str(sound.folder), "--column", "text=words"])
    assert (done.exit_code, "leave it out" in done.stderr) == (2, True)


def test_a_turn_with_neither_words_nor_speech(damaged):
    silent = {"text": {"c2_0": None}, "speech_missing": {"c2_0": "lost"}}
    assert found(damaged(**silent))["turn-empty"].rows == ("c2_0",)


def test_repeated_words_are_counted_by_split(damaged):
    text = "You know that I do not."
    corpus = damaged(text={"c0_0": text.upper(), "c4_0": text, "c5_0": "…", "c1_0": "?"})
    message = only(corpus).message
    assert message == "1 of 3 turns of test (33%) are word for word in train, 1 of them of 5 words or more"


@pytest.mark.parametrize(
    ("labels", "code", "level"),
    [
        ({"c2_0": None, "c3_0": None}, "split-one-class", "error"),
        (dict.fromkeys(("c2_0", "c2_1", "c3_0", "c3_1")), "split-empty", "error"),
    ],
)
def test_a_split_that_cannot_be_scored_on(damaged, labels, code, level):
    finding = only(damaged(label=labels))
    assert (finding.code, finding.level) == (code, level)
    assert "validation" in finding.message


def test_a_label_that_a_split_lacks(damaged, sound):
    metadata = about(sound)
    metadata["protocol"]["labels"] = [*LABELS, "awe"]
    metadata["counts"] = {
        split: counted | {"labels": counted["labels"] | {"awe": 0}}
        for split, counted in metadata["counts"].items()
    }
    corpus = write(damaged().folder, sound.table, metadata)
    findings = checks.run_checks(Evidence(corpus)).findings
    assert {finding.code for finding in findings} == {"label-absent"}
    assert [finding.message for finding in findings] == [
        f"{split} has no turn of awe" for split in ("train", "validation", "test")
    ]


def test_counts_that_are_not_the_protocols(sound, tmp_path):
    metadata = about(sound)
    metadata["protocol"]["expected"] = {"train": 4, "test": 5}
    metadata["protocol"]["expected_labels"] = {"test": {"joy": 3, "anger": 2}}
    findings = found(write(tmp_path / "out", sound.table, metadata))
    assert findings["counts-split"].message == "test has 4 labelled turns, turns has 5"
    assert "joy 2 instead of 3" in findings["counts-label"].message
    assert "anger" not in findings["counts-label"].message
    assert {finding.level for finding in findings.values()} == {"error"}


def test_counts_that_are_not_the_tables(sound, tmp_path):
    corpus = write(tmp_path / "out", sound.table[:-2], about(sound))
    assert only(corpus).code == "counts-stored"


@pytest.mark.parametrize(
    ("heard", "code", "level"),
    [
        (DecodedClip(fault="no sound could be decoded"), "clip-undecodable", "error"),
        (DecodedClip(seconds=0.5, peak=0.0005), "clip-silent", "warning"),
        (DecodedClip(seconds=305.0, peak=0.3), "clip-length", "warning"),
    ],
)
def test_what_a_clip_shows(sound, heard, code, level):
    fine = DecodedClip(seconds=0.52, peak=0.2)
    finding = only(sound, {0: fine, 1: heard, 2: fine})
    assert (finding.code, finding.level, finding.rows) == (code, level, ("c0_1",))


def replace_clip(corpus: Corpus, name: str, content: bytes | None) -> None:
    (audio,) = corpus.table.filter(pl.col("id") == name)["audio"]
    path = corpus.folder / corpus.metadata["audio_root"] / audio
    path.unlink() if content is None else path.write_bytes(content)


@pytest.fixture
def broken(sound, tmp_path):
    """Copy the corpus, its clips too, with a defect of every kind that can be mended."""
    corpus, changes = checks.fix(sound, tmp_path / "broken")
    assert changes == []
    cells = {
        "text": {"c0_0": "I\x92m late.", "c0_1": "A cafÃ©â€¦", "c1_0": " ", "c1_1": "Caf\ufffd."},
        "end": {"c2_0": -3.0},
    }
    out = corpus.table
    for name, changed in cells.items():
        out = edited(out, name, changed)
    corpus = write(corpus.folder, pl.concat([out, out.filter(pl.col("id") == "c4_0")]), about(corpus))
    replace_clip(corpus, "c2_1", b"RIFF, and then nothing")
    replace_clip(corpus, "c3_0", None)
    tone(corpus.folder / corpus.table.filter(pl.col("id") == "c3_1")["audio"][0], 0.5, 200, level=0)
    return corpus


def test_clips_are_decoded(broken):
    findings = {finding.code: finding for finding in checks.check(broken).findings}
    assert findings["clip-undecodable"].rows == ("c2_1", "c3_0")
    assert findings["clip-silent"].rows == ("c3_1",)


def test_a_repaired_copy(broken, tmp_path):
    before = {path: path.read_bytes() for path in broken.folder.rglob("*") if path.is_file()}
    copy, changes = checks.fix(broken, tmp_path / "copy")
    assert {path: path.read_bytes() for path in broken.folder.rglob("*") if path.is_file()} == before
    rows = {row["id"]: row for row in copy.table.iter_rows(named=True)}
    assert len(rows) == len(copy) == 12
    assert [rows[name]["text"] for name in ("c0_0", "c0_1", "c1_0")] == ["I’m late.", "A café…", None]
    assert (rows["c2_0"]["start"], rows["c2_0"]["end"]) == (None, None)
    for name in ("c2_1", "c3_0", "c3_1"):
        assert rows[name]["speech_missing"]
    assert rows["c0_0"]["speech_missing"] is None
    told = sorted(change.partition(":")[0] for change in changes)
    assert told == ["c0_0", "c0_1", "c1_0", "c2_0", "c2_1", "c3_0", "c3_1", "c4_0"]
    assert copy.metadata["repaired"][-len(changes) :] == changes
    # what cannot be mended is all that remains, and it is no error
    report = checks.check(copy)
    assert {finding.code for finding in report.findings} == {
        "encoding-lost",
        "text-missing",
        "speech-missing",
    }
    assert report.errors == 0
    first = next(copy.conversations("test")).utterances[0]
    with wave.open(first.audio.source) as file:
        assert file.getnframes() == len(first.audio.load())


def test_nothing_is_left_of_a_copy_that_fails(sound, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="is there already"):
        checks.fix(sound, tmp_path / "there")
    with pytest.raises(InputError, match="make it first"):
        checks.fix(sound, tmp_path / "no" / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


@pytest.mark.parametrize("text", ["café", "I’m", "naïve – ok", "Ä", "plain", "Ã", "日本"])
def test_text_that_is_fine_stays(text):
    assert unscrambled(text) == text


def test_scrambled_text_is_undone():
    assert unscrambled("It’s a café…".encode().decode("cp1252")) == "It’s a café…"


def test_melds_bad_clips_are_known_by_name(tmp_path):
    corpus = meld.prepare(meld_tree(tmp_path), tmp_path / "out", counts=False, jobs=1)
    report = checks.run_checks(Evidence(corpus))
    findings = [finding for finding in report.findings if finding.code.startswith("meld-clip")]
    assert {finding.rows for finding in findings} == {(name,) for name in meld.BAD_CLIPS}
    assert {finding.level for finding in findings} == {"warning"}
    # a table that uses one is wrong
    used = corpus.table.with_columns(
        speech_missing=pl.when(pl.col("id") == "test_dia38_utt4").then(None).otherwise("speech_missing")
    )
    metadata = about(corpus) | {"counts": counts(used, corpus.protocol, [])}
    findings = checks.run_checks(Evidence(write(tmp_path / "used", used, metadata))).findings
    used_clips = [finding.rows for finding in findings if finding.code == "meld-clip-used"]
    assert used_clips == [("test_dia38_utt4",)]


def test_iemocaps_traps_are_known_by_name(tmp_path):
    import iemocap_tree

    release = iemocap_tree.write(tmp_path)
    corpus = iemocap.prepare(release, tmp_path / "out", counts=False)
    findings = {finding.code: finding for finding in checks.run_checks(Evidence(corpus)).findings}
    assert findings["iemocap-scripted"].message.startswith("25% of the labelled turns of test are scripted")
    assert findings["iemocap-no-majority"].rows == ("Ses01M_impro03_000",)
    assert findings["counts-split"].level == "error"


def run(*words):
    return CliRunner().invoke(app, ["check", *map(str, words)], env={"COLUMNS": "100"})


def test_the_command_reports_and_ends_with_0_on_warnings(damaged, tmp_path):
    corpus = damaged(text={"c4_0": "Words of c0_0."})
    result = run(corpus.folder, "--json", tmp_path / "report.json")
    assert result.exit_code == 0
    assert "warning text-repeated: 1 of 4 turns of test" in result.stdout
    assert "0 errors, 1 warning" in result.stdout
    data = json.loads((tmp_path / "report.json").read_text())
    assert (data["errors"], data["warnings"], data["utterances"]) == (0, 1, 12)
    (finding,) = data["findings"]
    assert finding["rows"] == ["c4_0"]
    assert {"level", "code", "message"} < set(finding)


def test_the_command_ends_with_1_on_errors_and_mends_them(broken):
    assert run(broken.folder).exit_code == 1
    result = run(broken.folder, "--fix")
    assert result.exit_code == 0
    assert "changed c2_0: times from 0.0 to -3.0 s removed" in result.stdout
    assert "8 changes; what remains: 0 errors, 3 warnings" in result.stdout
    assert len(Corpus.load(broken.folder.with_name("broken-fixed"))) == 12


def test_the_command_wants_a_corpus(tmp_path):
    result = run(tmp_path)
    assert result.exit_code == 2
    assert "corpus.json" in result.stderr


def test_the_command_wants_a_place_for_its_json_before_it_listens(sound, tmp_path):
    result = run(sound.folder, "--json", tmp_path / "no" / "report.json")
    assert result.exit_code == 2
    assert "make it first" in result.stderr
    assert result.stdout == ""


@pytest.mark.skipif("MISTER_E_DATA" not in os.environ, reason="MISTER_E_DATA names no folder of data tables")
def test_a_fifth_of_iemocaps_test_turns_is_word_for_word_in_train(tmp_path):
    source = Path(os.environ["MISTER_E_DATA"]) / "erc" / "iemocap.csv"
    corpus = table.prepare(source, tmp_path / "out", features=["avg_*"])
    report = checks.run_checks(Evidence(corpus))
    findings = {finding.code: finding for finding in report.findings if "train" in finding.message}
    assert findings["text-repeated"].message.startswith("342 of 1,6")
    assert "(21%)" in findings["text-repeated"].message


def test_words_of_validation_that_are_in_test_are_told(damaged):
    finding = only(damaged(text={"c4_0": "words -- of c2_0"}))
    assert (finding.code, finding.rows) == ("text-repeated", ("c4_0",))
    assert "turns of test" in finding.message
    assert "in validation" in finding.message


def test_a_split_without_speech_is_an_error_where_it_was_extracted(damaged):
    gone = {f"c{number}_{turn}": "gone" for number in (2, 3) for turn in (0, 1)}
    finding = only(damaged(speech_missing=gone))
    assert (finding.code, finding.level) == ("speech-missing", "error")
    assert "4 of 4 turns of validation (100%)" in finding.message
    assert only(damaged(speech_missing={"c2_0": "gone"})).level == "warning"


def test_melds_turn_without_length_is_named(sound, damaged):
    corpus = damaged(end={"c4_0": None}, id={"c4_0": "test_dia155_utt3"})
    metadata = about(corpus) | {"protocol": corpus.metadata["protocol"] | {"corpus": "meld"}}
    assert only(write(corpus.folder, corpus.table, metadata)).code == "meld-no-length"


def test_a_copy_elsewhere_refers_to_the_same_originals(sound, tmp_path):
    source = sound.folder.parent / "turns.csv"
    referring = table.prepare(source, tmp_path / "referring", labels=LABELS)
    (tmp_path / "deep" / "er").mkdir(parents=True)
    copy, _ = checks.fix(referring, tmp_path / "deep" / "er" / "copy")
    assert len(next(copy.conversations()).utterances[0].audio.load()) == 8000
