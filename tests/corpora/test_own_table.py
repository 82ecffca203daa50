"""A table of one's own: any format, its labels and splits, its features, and never who speaks."""

from __future__ import annotations

import os
import wave
from pathlib import Path

import polars as pl
import pytest

from mister_e.corpora import Corpus, table
from mister_e.corpora.splits import make_splits
from mister_e.errors import InputError
from mister_e.labels import MELD_EMOTIONS

LABELS = ("calm", "glad")


def frame(conversations: int = 10, turns: int = 3, **columns) -> pl.DataFrame:
    """A table of `conversations` times `turns` rows, with columns to add or replace."""
    count = conversations * turns
    base = {
        "conversation_id": [f"c{n // turns}" for n in range(count)],
        "turn": [n % turns for n in range(count)],
        "utterance_id": [f"u{n}" for n in range(count)],
        "text": [f"Words {n}, and more." for n in range(count)],
        "start": [float(n) for n in range(count)],
        "end": [n + 0.5 for n in range(count)],
        "label": [LABELS[n % 2] for n in range(count)],
    }
    return pl.DataFrame({**base, **columns})


def write(path: Path, data: pl.DataFrame) -> Path:
    writers = {".csv": data.write_csv, ".parquet": data.write_parquet, ".jsonl": data.write_ndjson}
    if path.suffix == ".tsv":
        data.write_csv(path, separator="\t")
    else:
        writers[path.suffix](path)
    return path


def prepare(tmp_path: Path, data: pl.DataFrame | str, name: str = "t.csv", **options) -> Corpus:
    path = tmp_path / name
    if isinstance(data, str):
        path.write_text(data, encoding="utf-8")
    else:
        write(path, data)
    return table.prepare(path, tmp_path / "out", **options)


def three(column: str, values: list) -> pl.DataFrame:
    return frame(3, 1, **{column: values})


@pytest.mark.parametrize("extension", [".csv", ".tsv", ".parquet", ".jsonl"])
def test_every_format_gives_the_same_corpus(tmp_path, extension):
    data = frame(f0=[None if n == 4 else n / 7 for n in range(30)])
    corpus = prepare(tmp_path, data, f"t{extension}", features=["f0"])
    corpora = [c.to_json() for c in corpus.conversations()]
    expected = prepare(tmp_path, data, "t.csv", features=["f0"])
    assert corpora == [c.to_json() for c in expected.conversations()]
    assert len(corpus) == 30
    turn = next(t for c in corpus.conversations() for t in c if t.id == "u5")
    assert (turn.text, turn.start, turn.label) == ("Words 5, and more.", 5.0, "glad")
    assert turn.custom["features"]["f0"] == pytest.approx(5 / 7)


def test_a_prepared_table_is_a_table(tmp_path):
    first = prepare(tmp_path, frame(f0=[float(n) for n in range(30)]), features=["f0"])
    again = table.prepare(first.folder / "corpus.parquet", tmp_path / "again", features=["f*"])
    assert again.table.equals(first.table)


def test_line_ends_quotes_and_semicolons(tmp_path):
    lines = ["\ufeffconversation_id;text;label;split", 'a;"One; ""two"",', 'three";calm;train']
    lines += ["a;Yes.;glad;train", "b;No.;calm;dev", ""]
    corpus = prepare(tmp_path, "\r\n".join(lines), counts=False)
    assert [" ".join(text.split()) for text in corpus.table["text"]] == ['One; "two", three', "Yes.", "No."]
    assert corpus.table["split"].to_list() == ["train", "train", "validation"]
    assert corpus.table["id"].to_list() == ["a_0", "a_1", "b_0"]


def test_windows_1252_is_read_and_told(tmp_path):
    (tmp_path / "t.csv").write_bytes(
        b"conversation_id,text,label,split\na,It\x92s,calm,train\nb,Caf\xe9,glad,dev\n"
    )
    corpus = table.prepare(tmp_path / "t.csv", tmp_path / "out", counts=False)
    assert corpus.table["text"].to_list() == ["It\u2019s", "Café"]
    assert any("Windows-1252" in note for note in corpus.metadata["repaired"])


def test_labels_are_inferred_or_given(tmp_path):
    data = three("label", ["b", "a", "b"])
    assert list(prepare(tmp_path, data).protocol.labels) == ["b", "a"]
    assert list(prepare(tmp_path, data, labels=["a", "b", "c"]).protocol.labels) == ["a", "b", "c"]
    with pytest.raises(InputError, match=r"t\.csv, row 1: label 'b' \(2 times\) is not one of a, c"):
        prepare(tmp_path, data, labels=["a", "c"])
    with pytest.raises(InputError, match="has 1 labels"):
        prepare(tmp_path, three("label", ["a", None, "a"]))


def test_the_seven_emotions_keep_the_order_of_the_models(tmp_path):
    corpus = prepare(tmp_path, frame(7, 1, label=sorted(MELD_EMOTIONS)))
    assert corpus.protocol.labels == MELD_EMOTIONS


def test_labels_that_are_not_alphabetical_keep_their_order_on_disk(tmp_path):
    names = ["sad", "afraid", "mad"]
    data = frame(3, 4, label=["mad"] * 6 + ["sad"] * 2 + ["afraid"] * 4)
    given = prepare(tmp_path, data, labels=names)
    loaded = Corpus.load(given.folder)

    assert [loaded.protocol.labels.index(name) for name in names] == [0, 1, 2]
    assert loaded.metadata["labels"] == names
    assert all(list(split["labels"]) == names for split in loaded.counts.values())
    # without a list the most frequent label comes first, and not the first of the alphabet
    assert list(prepare(tmp_path, data).protocol.labels) == ["mad", "afraid", "sad"]


def test_cells_as_programs_and_people_write_them(tmp_path):
    lines = ["sep=;", "Conversation_ID;turn;Text;label;start;end;split;audio"]
    lines += ["a;0.0;One.;joy;0,5;0:01:02,5;train;nan", "a;1.0;nan;JOY;0:01:03;1.063,5;Train;None", ""]
    lines += [
        "b;;\u200b;nan;;;dev;N/A",
        "c; 2.0;Two.; Joy ;NaN;null;TEST;clips\\c.wav",
        "d;1;Three.;sad;;;test;",
    ]
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "c.wav").touch()
    for encoding in ("utf-8", "utf-16"):
        (tmp_path / "t.csv").write_bytes("\r".join(lines).encode(encoding))
        corpus = table.prepare(tmp_path / "t.csv", tmp_path / "out", counts=False)
        frame = corpus.table
        assert list(corpus.protocol.labels) == ["joy", "sad"]
        assert frame["label"].to_list() == ["joy", "joy", None, "joy", "sad"]
        assert frame["turn"].to_list() == [0, 1, 0, 2, 1]
        assert frame["start"].to_list() == [0.5, 63, None, None, None]
        assert frame["end"].to_list() == [62.5, 1063.5, None, None, None]
        assert frame["text"].to_list() == ["One.", "nan", None, "Two.", "Three."]
        assert frame["audio"].to_list() == [None, None, None, "clips/c.wav", None]


def test_a_label_may_be_called_none_where_it_is_named(tmp_path):
    data = three("label", ["None", "joy", "none"])
    corpus = prepare(tmp_path, data, labels=["none", "joy"])
    assert corpus.table["label"].to_list().count("none") == 2
    with pytest.raises(InputError, match="has 1 labels"):
        prepare(tmp_path, data)


def test_an_empty_label_is_context(tmp_path):
    corpus = prepare(tmp_path, frame(3, 2, label=["calm", None, "glad", "", "calm", "glad"]))
    assert sum(turn.label is None for c in corpus.conversations() for turn in c) == 2
    assert sum(split["labelled"] for split in corpus.counts.values()) == 4


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Training", "dev", "TEST"), ("train", "valid", "test")]
)
def test_splits_may_have_any_usual_name(tmp_path, names):
    corpus = prepare(tmp_path, three("split", list(names)))
    assert corpus.table["split"].to_list() == ["train", "validation", "test"]


def test_splits_are_made_of_whole_conversations(tmp_path):
    data = frame(50, 4)
    corpus = prepare(tmp_path, data, seed=1)
    splits = corpus.table.group_by("conversation").agg(pl.col("split").n_unique())
    assert splits["split"].max() == 1
    sizes = {name: split["conversations"] for name, split in corpus.counts.items()}
    assert sizes == {"train": 40, "validation": 5, "test": 5}
    shuffled = prepare(tmp_path, data.sample(fraction=1, shuffle=True, seed=3), seed=1)
    of = [dict(prepared.table.select("conversation", "split").iter_rows()) for prepared in (corpus, shuffled)]
    assert of[0] == of[1]
    other = prepare(tmp_path, data, seed=2)
    assert dict(other.table.select("conversation", "split").iter_rows()) != of[0]


def test_without_validation_a_tenth_of_train_becomes_it(tmp_path):
    split = ["test" if n // 3 < 5 else "train" for n in range(75)]
    corpus = prepare(tmp_path, frame(25, 3, split=split))
    sizes = {name: counted["conversations"] for name, counted in corpus.counts.items()}
    assert sizes == {"train": 18, "validation": 2, "test": 5}
    assert set(corpus.table.filter(pl.col("split") == "test")["conversation"]) == {f"c{n}" for n in range(5)}


def test_adding_a_conversation_moves_hardly_any(tmp_path):
    names = [f"c{n}" for n in range(100)]
    before, after = make_splits(names, 0), make_splits([*names, "new"], 0)
    assert sum(before[name] != after[name] for name in names) <= 2


def test_features_are_chosen_by_pattern(tmp_path):
    data = frame(avg_a=[1.0] * 30, avg_b=["2"] * 29 + [""], pitch=[float("inf")] * 30, other=[0] * 30)
    corpus = prepare(tmp_path, data, features=["avg_*", "pitch"])
    assert corpus.metadata["features"] == ["avg_a", "avg_b"]  # pitch is infinite, so undefined: dropped
    assert any("other: not asked for" in note for note in corpus.metadata["repaired"])
    turns = [turn for c in corpus.conversations() for turn in c]
    assert all(turn.audio is None for turn in turns)
    assert {tuple(turn.custom["features"].items()) for turn in turns} == {
        (("avg_a", 1.0), ("avg_b", 2.0)),
        (("avg_a", 1.0),),
    }
    assert all(split["speech_missing"] == 0 for split in corpus.counts.values())


def test_who_speaks_is_dropped_and_changes_nothing(tmp_path):
    speakers = [f"p{n % 2}" for n in range(30)]
    data = frame(speaker=speakers, Speaker_ID=range(30), spk=range(30), actor=range(30), f0=[1.0] * 30)
    one = prepare(tmp_path, data, features=["f0"])
    turned = data.with_columns(
        pl.col("speaker").reverse(), pl.col("Speaker_ID", "spk", "actor").shuffle(seed=1)
    )
    two = prepare(tmp_path, turned, features=["f0"])
    assert one.table.equals(two.table)
    everything = prepare(tmp_path, data, features=["*"])
    assert everything.metadata["features"] == ["f0"]
    assert not any("peaker" in name or "spk" in name for name in everything.table.columns)


def test_columns_of_other_names(tmp_path):
    data = frame().rename({"text": "Utterance", "label": "emotion"}).with_columns(label=pl.lit("other"))
    corpus = prepare(tmp_path, data, columns={"text": "Utterance", "label": "emotion"})
    assert set(corpus.table["label"]) == set(LABELS)
    with pytest.raises(InputError, match="has no column 'mood'"):
        prepare(tmp_path, data, columns={"label": "mood"})
    with pytest.raises(InputError, match="there is no column 'emotion' to name"):
        prepare(tmp_path, data, columns={"emotion": "label"})


def reasons(corpus: Corpus) -> dict:
    return dict(corpus.table.select("id", "speech_missing").iter_rows())


def test_values_of_json_lines(tmp_path):
    lines = ['{"conversation_id": 1, "text": "Half \\ud83d.", "label": true, "start": 0, "split": "train"}']
    lines += ['{"label": false, "conversation_id": 2, "text": null, "split": "dev", "start": NaN}']
    corpus = prepare(tmp_path, "\n\n".join(lines), "t.jsonl", counts=False)
    assert corpus.table["text"].to_list() == ["Half \ufffd.", None]
    assert corpus.table["conversation"].to_list() == ["1", "2"]
    assert corpus.table["label"].to_list() == ["true", "false"]
    assert corpus.table["start"].to_list() == [0.0, None]
    assert any("half a character" in note for note in corpus.metadata["repaired"])


def test_types_of_parquet(tmp_path):
    from datetime import timedelta

    data = three("start", [timedelta(seconds=1.5), None, timedelta(seconds=3)]).drop("end")
    corpus = prepare(tmp_path, data, "t.parquet")
    assert sorted(corpus.table["start"].drop_nulls()) == [1.5, 3.0]
    with pytest.raises(InputError, match="row 1: text is of type List"):
        prepare(tmp_path, three("text", [["a"], ["b"], []]), "t.parquet")
    named = data.with_columns(label=pl.Series(["joy", "JOY", "sad"], dtype=pl.Categorical))
    assert list(prepare(tmp_path, named, "t.parquet").protocol.labels) == ["joy", "sad"]


def test_without_turn_numbers_turns_stand_by_their_start(tmp_path):
    data = frame(3, 3, start=[2.0, 0.0, 1.0, 5.0, 4.0, None, 0.0, 1.0, 2.0], end=[None] * 9).drop("turn")
    corpus = prepare(tmp_path, data, seed=0)
    order = {c.id: [turn.id for turn in c] for c in corpus.conversations()}
    assert order == {"c0": ["u1", "u2", "u0"], "c1": ["u3", "u4", "u5"], "c2": ["u6", "u7", "u8"]}
    assert "1 conversations: no turn numbers, turns put in the order of start" in corpus.metadata["repaired"]
    numbered = prepare(tmp_path, data.with_columns(turn=pl.Series([0, 1, 2] * 3)))
    assert [turn.id for c in numbered.conversations() if c.id == "c0" for turn in c] == ["u0", "u1", "u2"]


def test_turns_without_speech_say_why(tmp_path):
    assert set(reasons(prepare(tmp_path, frame())).values()) == {"the table has no audio and no features"}
    some = prepare(tmp_path, frame(3, 1, f0=[1.0, None, 2.0]), features=["f0"])
    assert reasons(some) == {"u0": None, "u1": "no feature of this turn is defined", "u2": None}
    gone = prepare(tmp_path, three("audio", ["gone.wav", None, "gone2.wav"]))
    assert reasons(gone) == {
        "u0": "its audio file is not there",
        "u1": "the table names no audio of this turn",
        "u2": "its audio file is not there",
    }


@pytest.mark.parametrize("extension", [".csv", ".parquet"])
def test_a_table_may_say_whose_speech_is_not_to_be_used(tmp_path, extension):
    data = frame(
        4,
        1,
        f0=[1.0] * 4,
        speech_missing=["wrongly cut", None, "", None],
        has_audio=[True, False, True, True],
        audio_suspect=[True, False, True, None],
    )
    corpus = prepare(tmp_path, data, f"t{extension}", features=["f0"])
    assert reasons(corpus) == {
        "u0": "wrongly cut",
        "u1": "the table says has_audio = false",
        "u2": "the table says audio_suspect = true",
        "u3": None,
    }
    assert dict(corpus.table.select("id", "f0").iter_rows()) == {
        "u0": None,
        "u1": None,
        "u2": None,
        "u3": 1.0,
    }
    assert not any("not asked for" in note for note in corpus.metadata["repaired"])


def test_a_table_of_scattered_encodings(tmp_path):
    lines = [b"conversation_id,text,label,split", "a,Café,calm,train".encode(), b"b,It\x92s,glad,dev"]
    lines += ["c,voilÃ\xa0 😀,glad,test".encode(), b""]
    (tmp_path / "t.csv").write_bytes(b"\n".join(lines))
    corpus = table.prepare(tmp_path / "t.csv", tmp_path / "out")
    assert corpus.table["text"].to_list() == ["Café", "It\u2019s", "voilà 😀"]


def test_audio_of_one_turn_is_whole_and_of_several_is_cut(tmp_path):
    for name, seconds in (("own.wav", 0.5), ("long.wav", 3)):
        with wave.open(str(tmp_path / name), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", ""))
            file.writeframes(bytes(round(seconds * 32_000)))
    audio = ["own.wav", "long.wav", "long.wav", None, "gone.wav", None]
    data = frame(
        3, 2, audio=audio, start=[90.0, 0.0, 1.0, 2.0, 3.0, 4.0], end=[91.0, 0.5, 2.25, 3.0, 4.0, 5.0]
    )
    turns = {turn.id: turn for c in prepare(tmp_path, data).conversations() for turn in c}
    assert [len(turns[name].audio.load()) for name in ("u0", "u1", "u2")] == [8000, 8000, 20_000]
    assert [turns[name].audio for name in ("u3", "u4", "u5")] == [None] * 3
    with pytest.raises(InputError, match=r"row 3: long\.wav is the audio of several turns"):
        prepare(tmp_path, data.with_columns(end=pl.when(pl.col("utterance_id") != "u2").then("end")))


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ("conversation_id,text\na,b\n", {}, r"no column 'label'; its columns are conversation_id, text"),
        ("text,label\na,b\n", {}, "no column 'conversation_id'"),
        ("conversation_id,label\na,b\n", {}, "neither text nor audio"),
        ("", {}, "is empty"),
        (
            "conversation_id,text,label\na,b,c,d,e\n",
            {},
            r"row 1, line 2: more cells than columns \(5 for 3\)",
        ),
        (frame(1, 2), {}, "1 conversations cannot be split in three"),
        (three("turn", ["0", "1", "x"]), {}, "row 3: turn is 'x', expected a whole number"),
        (frame(3, 2, turn=[0, 1, 0, None, 0, 1]), {}, "row 4: turn is empty, other turns of c1 have"),
        (frame(3, 2, turn=[0, 1, 0, 1, 2, 2]), {}, "row 6: turn 2 of c2 is row 5 already"),
        (three("has_audio", ["true", "maybe", "0"]), {}, "row 2: has_audio is 'maybe', expected true or fal"),
        (three("start", ["0", "late", "1"]), {}, "row 2: start is 'late', expected a number"),
        (three("start", ["0", "1:75", "2"]), {}, "row 2: start is '1:75', expected seconds"),
        (three("start", [0.0, 1e999, 2.0]), {}, "row 2: from inf"),
        (three("start", [0.0, -1.0, 2.0]).drop("end"), {}, "row 2: from -1"),
        (three("turn", [0.0, 0.5, 1.0]), {}, "row 2: turn is 0.5, expected a whole number"),
        (three("turn", [0.0, 1e300, 1.0]), {}, "row 2: turn is 1e\\+300, expected a whole number"),
        (three("conversation_id", ["a", "nan", "b"]), {}, "row 2: conversation_id is empty"),
        ("conversation_id,text,label\na,b,joy\n\n,c,sad\n", {}, "row 3: conversation_id is empty"),
        (three("end", [0.5, 0.5, 2.5]), {}, r"row 2: from 1\.0 to 0\.5 s"),
        (three("conversation_id", ["a", "", "b"]), {}, "row 2: conversation_id is empty"),
        (three("label", ["joy", "x" * 1001, "sad"]), {}, r"row 2: label has 1,001 characters"),
        (
            frame(**{f"n{n}": [0] * 30 for n in range(99)}),
            {"features": ["x"]},
            "end, label, .* and 86 more",
        ),
        (three("split", ["train", "holdout", "test"]), {}, "row 2: split 'holdout'"),
        (three("split", ["train", "", "test"]), {}, "row 2: split is empty"),
        (three("split", ["train", "test", "test"]), {}, "one conversation of train"),
        (frame(1, 2, split=["val", "test"]), {}, "belongs to one split"),
        (frame(3, 2, utterance_id=["x"] * 6), {}, "is there twice"),
        (frame(), {"features": ["cov*"]}, r"no column is called 'cov\*'"),
        (frame(), {"features": ["tex*"]}, r"no column is called 'tex\*'"),
        (frame(mood=["up"] * 30), {"features": ["mood"]}, "row 1: mood is 'up', expected a number"),
        (frame(), {"validate_on": "session1"}, "leave out validate_on"),
    ],
)
def test_a_bad_table_names_the_column_or_the_row(tmp_path, data, options, message):
    with pytest.raises(InputError, match=message):
        prepare(tmp_path, data, **options)
    assert not (tmp_path / "out" / "corpus.json").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.csv", None, "no such file"),
        ("t.xlsx", b"PK", "expected a table that ends in"),
        ("t.parquet", b"no", "cannot be read as parquet"),
        ("t.parquet", b"PAR1" + bytes(40) + b"PAR1", "cannot be read as parquet"),
        ("t.jsonl", b'{"a": 1}\n{"a"\n', "row 2, line 2: cannot be read as jsonl"),
        ("t.jsonl", b'{"a": 1}\n\n[1]\n', "row 2, line 3: expected an object"),
        ("t.jsonl", b'{"a": [1]}\n', "row 1, line 1: 'a' is a list, expected one value"),
        ("t.jsonl", b"[" * 100_000, "nested too deeply"),
        ("t.csv", b"PK\x03\x04", "is a workbook or zip"),
    ],
)
def test_a_file_that_is_no_table_is_named(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        table.prepare(tmp_path / name, tmp_path / "out")


@pytest.fixture
def tables() -> Path:
    """The folder of the three benchmarks as tables."""
    folder = os.environ.get("MISTER_E_DATA")
    if not folder or not (Path(folder) / "erc" / "meld.csv").is_file():
        pytest.skip("MISTER_E_DATA does not name a folder with erc/meld.csv")
    return Path(folder) / "erc"


def test_meld_as_a_table_has_its_counts(tables, tmp_path):
    from mister_e.corpora.releases import meld

    corpus = table.prepare(tables / "meld.csv", tmp_path / "out", features=["avg_*", "pitch_*"])
    assert {split: counted["utterances"] for split, counted in corpus.counts.items()} == {
        "train": 9989,
        "validation": 1109,
        "test": 2610,
    }
    assert [counted["conversations"] for counted in corpus.counts.values()] == [1038, 114, 280]
    protocol = meld.PROTOCOLS["MELD-7"]
    assert {split: counted["labels"] for split, counted in corpus.counts.items()} == protocol.expected_labels
    three = table.prepare(tables / "meld.csv", tmp_path / "3", columns={"label": "sentiment"})
    expected = meld.PROTOCOLS["MELD-3"].expected_labels
    assert {split: counted["labels"] for split, counted in three.counts.items()} == expected
    assert max(len(conversation) for conversation in corpus.conversations()) == 33


def test_iemocap_and_mosi_as_tables_have_their_counts(tables, tmp_path):
    six = table.prepare(tables / "iemocap.csv", tmp_path / "6")
    assert [counted["utterances"] for counted in six.counts.values()] == [5163, 647, 1623]
    expected = {"hap": 144, "sad": 245, "neu": 384, "ang": 170, "exc": 299, "fru": 381}
    assert six.counts["test"]["labels"] == expected
    four = table.prepare(tables / "iemocap.csv", tmp_path / "4", columns={"label": "label4"})
    assert len(four) == len(six)  # the others stay as context
    assert sum(counted["labelled"] for counted in four.counts.values()) < len(four)
    mosi = table.prepare(tables / "mosi.csv", tmp_path / "2", features=["cov*"])
    assert [counted["utterances"] for counted in mosi.counts.values()] == [1284, 229, 686]
    assert len(mosi.metadata["features"]) == 73
