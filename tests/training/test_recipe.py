from pathlib import Path

import pytest

from mister_e.encoders.text.encoder import TextEncoderConfig
from mister_e.errors import InputError
from mister_e.training.recipe import read_recipe

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("**/*.yaml"))
SMALL = """\
name: small
text:
  kind: text
  encoder: {base: minilm-l6, history: 2}
  finetune: {epochs: 1}
"""
SPOKEN = """\
name: spoken
speech:
  kind: whisper
  encoder: {embedding_dim: 8}
  finetune: {epochs: 1}
  sampling: {corpora: {acted: 1.0}}
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_recipe_parses_and_its_text_says_the_same(path, tmp_path):
    read = read_recipe(path)
    assert read.text is not None or read.voices is not None
    again = tmp_path / "again.yaml"
    again.write_text(read.to_yaml(), encoding="utf-8")
    assert read_recipe(again) == read


def test_there_are_recipes():
    assert {path.parent.name for path in RECIPES} >= {"meld", "iemocap", "mosi"}


@pytest.mark.parametrize("corpus", ["meld", "iemocap", "mosi"])
def test_the_paper_recipes_hold_the_published_numbers(corpus):
    read = read_recipe(RECIPES[0].parents[1] / corpus / "paper.yaml")
    text, speech = read.part("text"), read.part("speech")
    lora = text.encoder.lora
    assert (lora.rank, lora.alpha, lora.dropout, lora.targets) == (8, 32, 0.1, ("q_proj", "v_proj"))
    assert (text.encoder.pooling, text.encoder.embedding_dim, text.encoder.max_tokens) == (
        "attentive",
        2048,
        128,
    )
    assert (text.finetune.learning_rate, text.finetune.betas, text.finetune.gamma) == (1e-5, (0.9, 0.99), 2.0)
    assert text.finetune.batch_examples == 8
    assert text.finetune.epochs <= 20
    lora = speech.encoder.lora
    assert (lora.rank, lora.alpha, lora.dropout, lora.targets) == (16, 8, 0.05, ("q_proj", "k_proj"))
    assert (speech.encoder.pooling, speech.encoder.embedding_dim, speech.encoder.max_seconds) == (
        "mean",
        2048,
        30,
    )
    assert (speech.finetune.learning_rate, speech.finetune.gamma) == (1e-5, 2.0)
    assert (speech.finetune.batch_examples, speech.finetune.gradient_accumulation) == (2, 8)
    # training hears what use hears
    assert speech.encoder.crop_seconds is None
    for part in (text, speech):
        assert part.encoder.dtype == part.finetune.precision == "bfloat16"
        assert part.encoder.gradient_checkpointing
        assert part.finetune.schedule == "constant"


def test_fields_can_be_changed(recipe):
    read = read_recipe(recipe, ["text.finetune.learning_rate=3e-4", "seeds=[4, 5]", "text.encoder.history=0"])
    assert read.text.finetune.learning_rate == 3e-4
    assert read.seeds == (4, 5)
    assert read.text.encoder == TextEncoderConfig(base="minilm-l6", history=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("text.finetune.epochs=none", r"field 'text\.finetune\.epochs'"),
        ("text.finetune.epoch=3", r"field 'text\.finetune\.epoch': Extra inputs are not permitted"),
        ("text.encoder.histroy=3", "histroy"),
        ("text.kind=words", "there is no encoder of kind 'words': the kinds are"),
        ("text.encoder.classes=7", "classes: leave it out"),
        ("nonsense", "expected a field and a value"),
        ("name.more=3", "'name' holds no fields"),
        ("seeds=[1, 1]", "a seed is named twice"),
        ("text.finetune.seed=3", "finetune.seed: leave it out"),
        ("mixture.train.seed=3", "train.seed: leave it out"),
        ("text.finetune.trackers=[paper]", r"field 'text\.finetune\.trackers"),
        ("seeds=[-1]", "a seed is a number from 0 on"),
        ("words=[emorynlp]", "words: is called text.corpora now; rename it"),
        ("text.kind=frames", "kind 'frames' is called whisper now; rename it"),
        ("text.corpora=[]", r"field 'text\.corpora'"),
        ("text.corpora=[meld, meld]", "a corpus is named twice"),
        ("text.sampling={}", "sampling: is for an encoder of kind whisper, this one is text"),
        ("text.augmentation={}", "augmentation: changes the clips of `sampling`, which is not there"),
        ("seeds=[1", "its value is not YAML"),
    ],
)
def test_what_is_wrong_is_named(recipe, change, message):
    with pytest.raises(InputError, match=message):
        read_recipe(recipe, [change])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("speech.augmentation.speed=[1.1, 0.9]", "speed: expected the lowest number first"),
        ("speech.augmentation.noise_probability=1.5", "noise_probability"),
        ("speech.sampling.corpora.acted=0", "corpora.acted: expected a number above 0, got 0"),
        ("speech.sampling.recordings.alone_fraction=0.9", "alone_fraction and long_fraction are more than 1"),
        ("speech.sampling.strangers=0.4", r"strangers': Extra inputs are not permitted"),
        ("speech.finetune.class_weights=0.5", "class_weights: leave it out, sampling decides"),
        ("speech.finetune.batch_examples=5", "batch_examples: leave it out, sampling decides"),
    ],
)
def test_what_is_wrong_with_sampling_is_named(tmp_path, change, message):
    path = tmp_path / "spoken.yaml"
    path.write_text(SPOKEN)
    assert read_recipe(path).speech.augmentation is None
    with pytest.raises(InputError, match=message):
        read_recipe(path, [change])


def test_a_broken_file_is_named_with_its_line(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("name: x\ntext: [\n")
    with pytest.raises(InputError, match=r"broken\.yaml, line 3: not YAML"):
        read_recipe(path)
    with pytest.raises(InputError, match="there is no such recipe"):
        read_recipe(tmp_path / "none.yaml")
    path.write_text("- a\n")
    with pytest.raises(InputError, match="expected fields such as name and text, found list"):
        read_recipe(path)


def test_a_part_that_is_not_there_is_named(recipe):
    with pytest.raises(InputError, match="recipe small: it has no part 'speech'"):
        read_recipe(recipe).part("speech")
