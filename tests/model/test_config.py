import pytest
from pydantic import ValidationError

from mister_e.model.config import MixtureConfig


def test_the_defaults_are_the_published_sizes():
    config = MixtureConfig(classes=7)

    assert (config.text_dim, config.speech_dim, config.hidden) == (2048, 2048, 1024)
    assert (config.kernels, config.gru_layers, config.gru_hidden) == ((1, 3, 5), 3, 512)
    assert (config.fusion_dim, config.fusion_blocks) == (1024, 4)
    assert (config.attention_dim, config.attention_heads) == (120, 3)
    assert (config.gate_hidden, config.gate_temperature) == (10, 2.0)


def test_json_comes_back_the_same():
    config = MixtureConfig(classes=3, kernels=(1, 3), text_dim=8)

    assert MixtureConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"attention_heads": 7}, "120 is not divisible by attention_heads 7"),
        ({"kernels": (1, 4)}, "odd numbers of turns, got 4"),
        ({"kernels": ()}, "kernels"),
        ({"hidden": 512}, "set gru_hidden to 256"),
        ({"classes": 1}, "classes"),
        ({"text_dim": 0}, "text_dim"),
        ({"dropout": 1.0}, "dropout"),
        ({"gate_temperature": 0}, "gate_temperature"),
        ({"gate_temperature": float("inf")}, "gate_temperature"),
        ({"hiden": 512}, "hiden"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_by_name(sizes, message):
    with pytest.raises(ValidationError, match=message):
        MixtureConfig(**{"classes": 7, **sizes})


def test_a_config_does_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        MixtureConfig(classes=7).classes = 8
