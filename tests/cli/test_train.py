"""`mister-e train` and `mister-e ablate`, as a person runs them."""

import json

import pytest
from stores import make_store, small_recipe

from mister_e.inference.model_folder import ModelFolder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train")
    make_store(folder / "store", talks=8)
    small_recipe(folder)
    return folder


def test_train(run, made, tmp_path):
    arguments = ("train", made / "small.yaml", "--data", made / "store", "-o", tmp_path / "run")
    done = run(*arguments, "--set", "mixture.train.epochs=3", "--seed", 4)
    assert done.exit_code == 0, done.stderr
    assert "small · talks-3 · seeds: 1" in done.stdout
    assert "validation: weighted F1" in done.stdout
    assert "±" not in done.stdout  # one seed has no deviation
    assert (
        ModelFolder.load(tmp_path / "run" / "seed-4", encoders=False).config.training["train"]["epochs"] == 3
    )
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["seeds"] == [4]
    assert "epochs: 3" in (tmp_path / "run" / "recipe.yaml").read_text()
    assert "--test" not in run("train", "--help").stdout
    other = run(*arguments, "--seed", 4)
    assert other.exit_code == 2
    assert "another recipe.train.epochs (3, now 2)" in other.stderr


def test_ablate(run, made, tmp_path):
    done = run(
        "ablate",
        made / "small.yaml",
        "--data",
        made / "store",
        "-o",
        tmp_path / "out",
        "--seed",
        0,
        "--variant",
        "full",
        "--variant",
        "without GRU",
    )
    assert done.exit_code == 0, done.stderr
    assert "| without GRU |" in done.stdout
    assert "±" not in done.stdout
    assert (tmp_path / "out" / "ablation.md").read_text(encoding="utf-8") == done.stdout


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("mixture.train.epoch=3", "field 'mixture.train.epoch': Extra inputs are not permitted"),
        ("mixture.model.classes=3", "model.classes: leave it out, the store decides it"),
        ("mixture.model.gate=none", "field 'mixture.model.gate'"),
        ("mixture.train={ema: 0.9, average_from: 3}", "two ways of averaging"),
        ("mixture=null", "it has no part 'mixture'"),
        ("mixture.model.attention_dim=7", "attention_dim is shared evenly"),
    ],
)
def test_what_is_wrong_with_a_recipe_is_told(run, made, tmp_path, change, said):
    done = run(
        "train", made / "small.yaml", "--data", made / "store", "-o", tmp_path / "run", "--set", change
    )
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())


def test_a_missing_store_is_told(run, made, tmp_path):
    done = run("train", made / "small.yaml", "--data", tmp_path / "none", "-o", tmp_path / "run")
    assert done.exit_code == 2
    assert "no store there" in done.stderr
