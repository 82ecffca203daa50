from __future__ import annotations

from mister_e.pretrained import bundled


def test_models_tells_what_each_bundled_model_is(run):
    result = run("models")
    assert result.exit_code == 0
    # long facts are folded at the terminal's width
    words = " ".join(result.stdout.split())
    assert len(bundled()) >= 1
    for config in bundled():
        assert config["name"] in words
        assert ", ".join(config["labels"]) in words
        assert config["speech_encoder"]["base"] in words
        assert " ".join(config["terms"].split()) in words
        assert "MB" in words
