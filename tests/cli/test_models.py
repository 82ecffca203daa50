"""`mister-e models`: a line a model, or all about one."""

from __future__ import annotations

import json

import pytest

from mister_e.pretrained import bundled


def test_each_bundled_model_has_one_line_with_its_two_main_scores(run):
    result = run("models")
    assert result.exit_code == 0
    lines = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert len(bundled()) >= 1
    for config in bundled():
        line = lines[config["name"]]
        assert " MB " in line
        assert "research, non-commercial" in line
        for situation in ("text", "voice"):
            assert f" {config['scores'][situation]['weighted_f1']:.1f} " in line
    assert len(result.stdout.splitlines()) <= len(bundled()) + 5


@pytest.mark.parametrize("config", bundled(), ids=lambda config: config["name"])
def test_a_name_tells_everything(run, config):
    result = run("models", config["name"])
    assert result.exit_code == 0
    # what is long is folded at the terminal's width
    words = " ".join(result.stdout.split())
    assert ", ".join(config["labels"]) in words
    assert "speech encoder whisper-tiny.en" in words
    assert " ".join(config["terms"].split()) in words
    assert config["folder"] in "".join(result.stdout.split())
    for score in config["scores"].values():
        edges = " to ".join(f"{edge:.1f}" for edge in score.get("interval", ())) or "-"
        assert f"{score['turns']:,} {score['weighted_f1']:.1f} {edges}" in words


def test_a_folder_of_ones_own_may_say_little(run, tmp_path):
    mixture = dict(bundled()[0]["mixture"])
    mixture |= {"classes": 2, "experts": ["text"]}
    speech = {"kind": "features", "dim": mixture["speech_dim"]}
    config = {"format": 3, "name": "mine", "labels": ["calm", "glad"], "mixture": mixture}
    (tmp_path / "config.json").write_text(json.dumps(config | {"encoders": {"speech": speech}}))
    result = run("models", str(tmp_path))
    assert result.exit_code == 0, result.stderr
    words = " ".join(result.stdout.split())
    assert words.startswith("mine about")
    assert "text encoder none" in words
    assert "speech encoder features" in words
    assert "test scores" not in words


@pytest.mark.parametrize(
    ("text", "expected"), [(None, "missing"), ("{", "not JSON"), ("[]", "not a JSON object")]
)
def test_a_folder_that_is_no_model_is_refused_by_name(run, tmp_path, text, expected):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    result = run("models", str(tmp_path))
    assert result.exit_code == 2
    assert str(tmp_path / "config.json") in result.stderr
    assert expected in result.stderr


def test_an_unknown_name_lists_the_known_ones(run):
    result = run("models", "nix")
    assert result.exit_code == 2
    for config in bundled():
        assert config["name"] in result.stderr
