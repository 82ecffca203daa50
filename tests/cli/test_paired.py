"""`mister-e train` and `mister-e evaluate` of a recipe that pairs words with voices."""

import json

import pytest
from paired_stores import make_clips, make_encoder, make_words, paired_recipe

from mister_e.encoders.registry import load_encoder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paired")
    make_encoder().save(folder / "encoder")
    encoder = load_encoder(folder / "encoder")
    make_words(folder / "talks", encoder, talks=6)
    make_clips(folder / "loud", encoder, "loud")
    make_clips(folder / "reading", encoder, "reading", clips=6, only=0)
    paired_recipe(folder)
    return folder


@pytest.mark.slow
def test_the_road_of_a_paired_recipe(run, place, tmp_path):
    recipe, data = place / "small.yaml", ("--data", place / "talks")
    changes = ("--set", "mixture.pairing={singles: 9, neutral_corpora: [reading]}", "--seed", 3)
    voices = ("--voices", place / "loud", "--voices", place / "reading", "--speech", place / "encoder")
    out = tmp_path / "run"
    alone = run("train", recipe, *data, *changes, "-o", out)
    assert alone.exit_code == 2
    assert "give --voices STORE for each corpus of clips" in " ".join(alone.stderr.split())
    half = run("train", recipe, *data, *changes, *voices[:2], "-o", out)
    assert half.exit_code == 2
    assert "--voices without --speech ENCODER" in " ".join(half.stderr.split())
    assert not out.exists()

    done = run("train", recipe, *data, *changes, *voices, "-o", out)
    assert done.exit_code == 0, done.stderr
    assert "validation: weighted F1" in done.stdout
    assert "neutral_corpora:" in (out / "recipe.yaml").read_text()

    scored = run("evaluate", out, *data, *voices, "--split", "test")
    assert scored.exit_code == 0, scored.stderr
    assert "talks and clips · test" in scored.stdout
    assert "voice: reading" in scored.stdout
    assert "no result on the corpus" in " ".join(scored.stderr.split())
    written = sorted(path.name for path in out.glob("evaluation-test-*.json"))
    assert len(written) == 10
    assert "evaluation-test-voice-loud-as-one-recording.json" in written
    read = json.loads((out / "evaluation-test-voice.json").read_text())
    assert (read["protocol"]["mode"], read["test_scored"]) == ("voice", 1)
    assert "seeds" in read

    again = run("evaluate", out, *data, *voices, "--split", "test", "-o", tmp_path / "scores")
    assert "the test split was scored 2 times" in " ".join(again.stderr.split())
    assert len(list((tmp_path / "scores").iterdir())) == 10
    # as any run, on its store alone
    plain = run("evaluate", out, *data)
    assert plain.exit_code == 0, plain.stderr
    for words, said in (
        (("evaluate", out, *data, *voices, "--mode", "text-only"), "leave --mode out"),
        (("evaluate", out, *data, *voices, "--alone"), "--alone is for a folder of clips with --model"),
        (("evaluate", "--model", "mini", *data, *voices), "are for a RUN"),
    ):
        refused = run(*words)
        assert refused.exit_code == 2
        assert said in " ".join(refused.stderr.split())
