"""From a store to a run to its scores, and the baselines beside it."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from sklearn.metrics import f1_score
from stores import LABELS, make_store, small_recipe

from mister_e.evaluation.baselines import BASELINES
from mister_e.evaluation.baselines.networks import Mlp, Settings, network
from mister_e.evaluation.baselines.run import Baseline
from mister_e.inference.model_folder import ModelFolder
from mister_e.inference.predict import predict
from mister_e.training.stage2.run import run_stage2

pytestmark = pytest.mark.slow


def gone(split, talk, turn, modality, row):
    """Each third turn has no sound."""
    return None if modality == "speech" and turn % 3 == 2 else row


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A store, and a run of two seeds on it."""
    folder = tmp_path_factory.mktemp("evaluate")
    store = make_store(folder / "store", talks=8, turns=6, edit=gone)
    run_stage2(small_recipe(folder), store, folder / "run")
    return folder, store


def test_a_split_that_cannot_be_scored_is_told_before_anything_is_trained(run, tmp_path):
    folder = tmp_path / "store"
    make_store(folder, talks=3, label=lambda split, _: -1 if split == "test" else 1)
    small_recipe(tmp_path)
    for command in (("ablate", tmp_path / "small.yaml"), ("baselines",)):
        done = run(*command, "--data", folder, "-o", tmp_path / "out")
        assert done.exit_code == 2
        assert "no turn of the test split has a label" in " ".join(done.stderr.split())
    assert not list(tmp_path.glob("out/*/seed-*"))


@pytest.fixture
def place(trained, tmp_path):
    """The folder of the store, and a copy of the run that a test may write to."""
    folder, _ = trained
    shutil.copytree(folder / "run", tmp_path / "run")
    return folder / "store", tmp_path / "run"


def test_the_scores_of_a_run_are_those_of_its_models(run, trained, place):
    _, store = trained
    data, folder = place
    done = run("evaluate", folder, "--data", data, "--split", "test")
    assert done.exit_code == 0, done.stderr
    written = json.loads((folder / "evaluation-test-full.json").read_text(encoding="utf-8"))
    for seed in (0, 1):
        said = predict(
            ModelFolder.load(folder / f"seed-{seed}", encoders=False).mixture,
            list(store.conversations("test")),
        )
        truth, predicted = said.labels[said.scored], said.logits[said.scored].argmax(1)
        card = written["seeds"][str(seed)]
        expected = 100 * f1_score(truth, predicted, average="weighted", zero_division=0)
        assert card["scores"]["weighted_f1"] == pytest.approx(expected, abs=1e-3)
        assert card["experts"]["speech"]["turns"] == said.present[:, 0].sum() < card["turns"] == 48
        assert f"seed {seed}" in done.stdout
    assert written["protocol"]["selection"] == "validation"
    assert written["protocol"]["seeds"] == [0, 1]
    assert set(written["protocol"]["versions"]) >= {"python", "torch", "mister-e"}
    assert written["model"]["recipe"] == "small"
    assert written["ensemble"]["turns"] == 48
    assert "mean ± sd" in done.stdout
    assert "ensemble" in done.stdout
    assert all(label in done.stdout for label in LABELS)
    assert "speech" in done.stdout
    for end in (".html", "-confusion.png", "-reliability.png"):
        assert (folder / f"evaluation-test-full{end}").stat().st_size > 1000
        assert f"evaluation-test-full{end}" in done.stderr.replace("\n", "")


def test_every_scoring_of_test_is_written_down_and_told(run, place, tmp_path):
    data, folder = place
    record = folder / "test_scored.jsonl"
    run("evaluate", folder, "--data", data)
    assert not record.exists()
    first = run("evaluate", folder, "--data", data, "--split", "test")
    assert "times" not in first.stderr
    # from elsewhere, in another mode, for one seed alone: it counts all the same
    elsewhere = ("--split", "test", "-o", tmp_path / "out", "--mode", "text-only")
    second = run("evaluate", folder / "seed-1", "--data", data, *elsewhere)
    assert "scored 2 times with this run" in second.stderr
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    assert [(line["mode"], line["seeds"]) for line in lines] == [("full", [0, 1]), ("text-only", [1])]
    assert all(len(digest) == 64 for line in lines for digest in line["weights"].values())
    assert json.loads((tmp_path / "out" / "evaluation-test-text-only.json").read_text())["test_scored"] == 2
    assert "scored 2 times" in (tmp_path / "out" / "evaluation-test-text-only.html").read_text()


@pytest.mark.parametrize("mode", ["past-only", "text-only", "speech-only"])
def test_every_mode_says_what_it_could_not_judge(run, place, mode):
    data, folder = place
    done = run("evaluate", folder, "--data", data, "--mode", mode)
    assert done.exit_code == 0, done.stderr
    written = json.loads((folder / f"evaluation-validation-{mode}.json").read_text())
    card = written["seeds"]["0"]
    assert (card["turns"], card["unjudged"]) == ((32, 16) if mode == "speech-only" else (48, 0))
    judged = {"text-only": {"text"}, "speech-only": {"speech"}}.get(mode, {"speech", "text", "fusion"})
    assert set(card["experts"]) == judged
    assert written["test_scored"] is None


def test_one_seed_has_no_deviation_and_no_ensemble(run, place):
    data, folder = place
    done = run("evaluate", folder / "seed-0", "--data", data, "-q")
    assert done.exit_code == 0
    assert done.stderr == ""
    written = json.loads((folder / "seed-0" / "evaluation-validation-full.json").read_text())
    assert written["ensemble"] is None
    assert written["summary"]["scores"]["weighted_f1"]["sd"] is None
    assert "±" not in done.stdout


def test_runs_and_stores_that_do_not_fit_are_told(run, place, tmp_path):
    data, folder = place
    nothing = run("evaluate", tmp_path, "--data", data)
    assert nothing.exit_code == 2
    assert "is not a model folder" in nothing.stderr
    assert "it has no store.json" in run("evaluate", folder, "--data", tmp_path).stderr
    (folder / "seed-1" / "model" / "config.json").unlink()
    unfinished = run("evaluate", folder, "--data", data, "--split", "test")
    assert "seed-1: not finished" in unfinished.stderr
    assert not (folder / "test_scored.jsonl").exists()
    facts = json.loads((data / "store.json").read_text())
    facts["encoders"]["text"]["identity"] = "0" * 64
    other = shutil.copytree(data, tmp_path / "other")
    (other / "store.json").write_text(json.dumps(facts))
    wrong = run("evaluate", folder / "seed-0", "--data", other)
    assert wrong.exit_code == 2
    assert "its text embeddings are by" in wrong.stderr


def test_baselines_print_their_table(run, trained, tmp_path, monkeypatch):
    folder, _ = trained
    monkeypatch.setitem(BASELINES, "mlp", Baseline(network(Mlp, Settings(epochs=2, patience=1))))
    words = (
        "baselines",
        "--data",
        folder / "store",
        "-o",
        tmp_path / "out",
        "--only",
        "majority",
        "--only",
        "mlp",
    )
    done = run(*words, "--seed", "0", "--seed", "1")
    assert done.exit_code == 0, done.stderr
    table = [line.split(" | ") for line in done.stdout.splitlines()]
    assert [row[0] for row in table[2:]] == ["| majority", "| mlp"]
    summary = json.loads((tmp_path / "out" / "baselines.json").read_text())
    mean = np.round(summary["baselines"]["mlp"]["test"]["weighted_f1"]["mean"], 1)
    assert table[3][3].startswith(f"{mean:.1f} ± ")
    assert "unknown baseline 'svm'" in run(*words[:5], "--only", "svm").stderr
