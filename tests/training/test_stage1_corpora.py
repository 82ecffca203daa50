"""The corpora that a part of a recipe names: found by name, with one set of labels, the first one chooses."""

import json

import pytest
from typer.testing import CliRunner

from mister_e.cli import app
from mister_e.corpora import Corpus, table
from mister_e.errors import InputError
from mister_e.training.recipe import read_recipe
from mister_e.training.stage1.run import find_corpora

RECIPE = """\
name: words
text:
  kind: text
  corpora: [first, second]
  encoder: {base: minilm-l6, embedding_dim: 16, history: 1}
  finetune: {epochs: 1, learning_rate: 3.0e-4, trackers: []}
"""
TURNS = [("so happy", "glad"), ("it hurts", "sad"), ("lovely day", "glad"), ("crying again", "sad")]


def prepare(folder, name, *, splits=("train", "val", "test"), labels=("sad", "glad"), talks=3):
    rows = ["conversation_id,text,label,split"]
    rows += [
        f"{split}{talk},{name} {text},{label if label in labels else ''},{split}"
        for split in splits
        for talk in range(talks)
        for text, label in TURNS
    ]
    (folder / f"{name}.csv").write_text("\n".join(rows) + "\n")
    return table.prepare(folder / f"{name}.csv", folder / "corpora" / name, labels=labels, counts=False)


@pytest.fixture
def folder(tmp_path):
    prepare(tmp_path, "first")
    prepare(tmp_path, "second", splits=("train",), talks=4)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path


def run(folder, *words):
    arguments = [
        "finetune",
        folder / "recipe.yaml",
        "--data",
        folder / "corpora",
        "-o",
        folder / "run",
        *words,
    ]
    return CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "80"})


@pytest.mark.slow
def test_text_is_trained_on_all_and_chosen_on_the_first(folder):
    done = run(folder, "--test")
    assert done.exit_code == 0, done.output
    result = json.loads((folder / "run" / "seed-0" / "result.json").read_text())
    assert list(result["corpora"]) == ["first", "second"]
    assert result["protocol"]["name"] == "first"
    assert result["test"]["turns"] == 12  # of the first
    alone = run(folder, "--test", "-o", folder / "alone", "--set", "text.corpora=[first]")
    assert alone.exit_code == 0, alone.output
    first = json.loads((folder / "alone" / "seed-0" / "result.json").read_text())
    assert first["history"][0]["train_loss"] != result["history"][0]["train_loss"]
    # another corpus is another run
    done = run(folder, "--set", "text.corpora=[second, first]")
    assert done.exit_code == 2
    assert "holds a run with another" in done.output


def test_corpora_are_found_in_any_folder(folder, tmp_path):
    chosen = read_recipe(folder / "recipe.yaml").part("text")
    corpora = folder / "corpora"
    (tmp_path / "apart").mkdir()
    (corpora / "second").rename(tmp_path / "apart" / "second")
    found = find_corpora(chosen, [corpora, tmp_path / "apart"])
    assert [corpus.folder.name for corpus in found.values()] == ["first", "second"]
    # a folder may be the corpus itself
    found = find_corpora(chosen, [corpora / "first", tmp_path / "apart" / "second"])
    assert list(found) == ["first", "second"]
    with pytest.raises(InputError, match=r"no prepared corpus 'second' in .*corpora: make it with mister-e"):
        find_corpora(chosen, [corpora])
    prepare(folder, "second")
    with pytest.raises(InputError, match="the corpus 'second' is there twice"):
        find_corpora(chosen, [corpora, tmp_path / "apart"])


def test_labels_are_those_of_the_first(folder):
    chosen = read_recipe(folder / "recipe.yaml").part("text")
    prepare(folder, "second", labels=("glad", "sad"))
    assert len(find_corpora(chosen, [folder / "corpora"])) == 2
    prepare(folder, "second", labels=("glad", "blue"))
    with pytest.raises(InputError, match="its label 'blue' is none of sad, glad, the labels of"):
        find_corpora(chosen, [folder / "corpora"])


def test_without_names_the_one_folder_is_the_corpus(folder):
    chosen = read_recipe(folder / "recipe.yaml", ["text.corpora=null"]).part("text")
    found = find_corpora(chosen, [folder / "corpora" / "first"])
    assert list(found) == ["first"]
    assert isinstance(found["first"], Corpus)
    with pytest.raises(InputError, match="--data was given 2 times, and the recipe names no corpora"):
        find_corpora(chosen, [folder / "corpora" / "first", folder / "corpora" / "second"])
    with pytest.raises(InputError, match=r"a prepared corpus has a corpus\.json"):
        find_corpora(chosen, [folder / "corpora"])
