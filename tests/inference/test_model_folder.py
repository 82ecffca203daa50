import inspect
import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from mister_e.encoders.voices.network import VoiceChangeConfig, VoiceChangeNetwork
from mister_e.errors import InputError
from mister_e.files import sha256
from mister_e.inference.calibration import Calibration
from mister_e.inference.export import recalibrate
from mister_e.inference.model_config import read_config
from mister_e.inference.model_folder import ModelFolder
from mister_e.inference.voices import VoiceChangeDetector
from mister_e.pretrained import bundled, model_folder


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(model_folder("mini"), tmp_path / "mini")


def resigned(folder, name):
    """Write the hash of a changed file into the configuration, so that the file itself is judged."""
    config = json.loads((folder / "config.json").read_text())
    config["files"][name] = sha256(folder / name)
    (folder / "config.json").write_text(json.dumps(config))


def test_mini_is_bundled():
    (mini,) = [config for config in bundled() if config["name"] == "mini"]
    assert mini["labels"] == ["neutral", "joy", "sadness", "anger", "surprise", "fear", "disgust"]
    assert mini["scores"]["text"]["weighted_f1"] >= 59
    # a voice that it never met, each clip alone; chance is about 17
    assert mini["scores"]["voice: ravdess"]["weighted_f1"] >= 65
    assert mini["scores"]["voice: nemo, as one recording"]["weighted_f1"] >= 65
    assert mini["scores"]["voice: librispeech_subset"]["accuracy"] >= 80
    pairs = mini["scores"]["pairs that agree (the words' label)"]["experts"]
    assert pairs["fusion"] > max(pairs["speech"], pairs["text"]) + 5
    assert model_folder("mini").name == "mini"


def test_mini_llm_is_adapters_on_a_base_that_is_not_in_the_folder():
    (config,) = [config for config in bundled() if config["name"] == "mini-llm"]
    assert config["scores"]["text"]["weighted_f1"] >= 61.5
    folder = model_folder("mini-llm")
    model = ModelFolder.load(folder)
    backbone = sum(p.numel() for p in model.encoders["text"].backbone.parameters())
    kept = sum(value.numel() for value in load_file(folder / "text" / "model.safetensors").values())
    assert kept < 0.05 * backbone
    assert model.encoders["text"].config.history == 3
    for config in bundled():
        assert (model_folder(config["name"]) / "LICENSE.md").is_file()


def test_weights_in_the_package_stay_small():
    weights = [path for config in bundled() for path in model_folder(config["name"]).rglob("*.safetensors")]
    assert sum(path.stat().st_size for path in weights) < 62 * 2**20


def test_the_card_says_data_scores_limits_and_terms():
    card = (model_folder("mini") / "README.md").read_text()
    assert card.startswith("---\n")
    for heading in ("## How it was made", "## Scores", "## Calibration", "## Limits", "## Terms"):
        assert heading in card


def test_saved_and_loaded_is_the_same(copy, tmp_path):
    model = ModelFolder.load(copy)
    model.save_pretrained(tmp_path / "again")
    again = ModelFolder.load(tmp_path / "again")
    assert again.labels == model.labels
    assert again.config.model_copy(update={"files": {}}) == model.config.model_copy(update={"files": {}})
    for name, value in model.mixture.state_dict().items():
        assert torch.equal(value, again.mixture.state_dict()[name]), name


@pytest.mark.parametrize(
    ("given", "limit"), [({}, 0.4), ({"uncertain_below": 0}, 0.0), ({"uncertain_below": 0.55}, 0.55)]
)
def test_a_folder_may_say_below_which_confidence_a_turn_is_uncertain(copy, given, limit):
    config = json.loads((copy / "config.json").read_text())
    config["calibration"].pop("uncertain_below", None)
    config["calibration"] |= given
    (copy / "config.json").write_text(json.dumps(config))
    assert read_config(copy).calibration.uncertain_below == limit


@pytest.mark.parametrize("limit", [-0.1, 1.1, "low"])
def test_a_limit_of_uncertainty_that_is_no_probability_is_named(copy, limit):
    config = json.loads((copy / "config.json").read_text())
    config["calibration"]["uncertain_below"] = limit
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"calibration\.uncertain_below"):
        read_config(copy)


def test_the_fingerprint_follows_every_file():
    config = read_config(model_folder("mini"))
    for name in config.files:
        other = config.model_copy(update={"files": config.files | {name: "0" * 64}})
        assert other.fingerprint != config.fingerprint


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match=r"unknown model 'mimi'.*mini"):
        model_folder("mimi")


def test_a_folder_that_is_none_is_named(tmp_path):
    with pytest.raises(InputError, match="not a model folder"):
        ModelFolder.load(tmp_path)


def test_a_missing_tensor_is_named(copy):
    weights = load_file(copy / "mixture.safetensors")
    del weights["missing_text"]
    save_file(weights, copy / "mixture.safetensors")
    resigned(copy, "mixture.safetensors")
    with pytest.raises(InputError, match=r"mixture\.safetensors.*lacks weight 'missing_text'"):
        ModelFolder.load(copy)


def test_an_extra_tensor_is_named(copy):
    weights = load_file(copy / "text" / "model.safetensors")
    save_file(weights | {"stray": torch.ones(1)}, copy / "text" / "model.safetensors")
    resigned(copy, "text/model.safetensors")
    with pytest.raises(InputError, match="unexpected weight 'stray'"):
        ModelFolder.load(copy)


def test_a_wrong_hash_is_named(copy):
    path = copy / "text" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"text/model\.safetensors.*SHA-256"):
        ModelFolder.load(copy)


def test_a_missing_file_is_named(copy):
    (copy / "text" / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"tokenizer\.json.*missing"):
        ModelFolder.load(copy)


def test_an_unknown_or_wrong_field_is_named(copy):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"speakers": 2}))
    with pytest.raises(InputError, match="speakers"):
        read_config(copy)
    (copy / "config.json").write_text(json.dumps(config | {"labels": ["joy", "anger"]}))
    with pytest.raises(InputError, match="2 labels, but the mixture has 7 classes"):
        read_config(copy)
    (copy / "config.json").write_text(json.dumps(config | {"files": {}}))
    with pytest.raises(InputError, match=r"lacks the SHA-256 of mixture\.safetensors"):
        ModelFolder.load(copy)
    config["mixture"]["classes"] = "many"
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"mixture\.classes"):
        read_config(copy)
    (copy / "config.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(InputError, match=r"format 99, this version reads 1, 2, 3: update mister-e"):
        read_config(copy)
    (copy / "config.json").write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        read_config(copy)


def test_a_model_goes_to_the_hub_and_comes_back(copy, tmp_path, monkeypatch):
    import huggingface_hub

    seen = {}

    class Api:
        """What of the Hub's own client is called; there is no Hub here."""

        def __init__(self, token=None):
            seen["token"] = token

        def create_repo(self, repo_id, *, private, exist_ok):
            seen.update(repo_id=repo_id, private=private, exist_ok=exist_ok)
            return type("Repo", (), {"repo_id": f"me/{repo_id}"})

        def upload_folder(self, *, repo_id, folder_path, commit_message, create_pr):
            seen["uploaded"] = shutil.copytree(folder_path, tmp_path / "hub")
            return f"https://hub/{repo_id}/commit/1"

    real = huggingface_hub.HfApi
    for call, method in (("create_repo", real.create_repo), ("upload_folder", real.upload_folder)):
        parameters = set(inspect.signature(getattr(Api, call)).parameters) - {"self"}
        assert parameters <= set(inspect.signature(method).parameters)
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    model = ModelFolder.load(copy)
    assert model.push_to_hub("mini", private=True, token="secret").endswith("commit/1")
    assert (seen["repo_id"], seen["private"], seen["exist_ok"], seen["token"]) == (
        "mini",
        True,
        True,
        "secret",
    )
    model.save_pretrained(tmp_path / "saved", push_to_hub=False)

    def snapshot(name, *, revision, token, **_):
        seen.update(downloaded=(name, revision, token))
        return str(tmp_path / "hub")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    again = ModelFolder.from_pretrained("me/mini", revision="v1", token="secret")
    assert seen["downloaded"] == ("me/mini", "v1", "secret")
    assert again.config.labels == model.config.labels


def test_half_a_folder_is_no_model(copy):
    (copy / "config.json").unlink()
    with pytest.raises(InputError, match=r"half of one: export it again"):
        ModelFolder.load(copy)


def test_an_encoder_of_other_weights_is_refused(copy):
    weights = load_file(copy / "speech" / "model.safetensors")
    save_file({name: value * 1.01 for name, value in weights.items()}, copy / "speech" / "model.safetensors")
    resigned(copy, "speech/model.safetensors")
    with pytest.raises(InputError, match=r"speech encoder whisper .* trained on embeddings by mini"):
        ModelFolder.load(copy)


def test_another_calibration_leaves_the_model_itself_alone(copy):
    before = read_config(copy)
    calibration = before.calibration.model_copy(update={"wordless": 1.25, "crosstalk": 1.5})
    after = recalibrate(copy, calibration)
    assert after == read_config(copy)
    assert after.calibration == calibration
    assert after.model_copy(update={"calibration": before.calibration}) == before
    assert after.fingerprint == before.fingerprint
    card = (copy / "README.md").read_text()
    assert "in which no words were found, such as laughter: 1.25." in card
    assert "is multiplied by 1.5." in card
    assert "\n\n\n" not in card.partition("## Calibration")[2]


def test_a_calibration_needs_a_model_folder(tmp_path):
    with pytest.raises(InputError, match=r"config\.json"):
        recalibrate(tmp_path, Calibration())


def test_a_folder_without_a_calibration_of_its_own_for_turns_without_words_opens(copy):
    config = json.loads((copy / "config.json").read_text())
    for name in ("wordless", "crosstalk"):
        config["calibration"].pop(name, None)
    (copy / "config.json").write_text(json.dumps(config))
    calibration = read_config(copy).calibration
    assert (calibration.wordless, calibration.crosstalk) == (None, 1.0)


@pytest.fixture
def head(tmp_path):
    torch.manual_seed(0)
    small = VoiceChangeConfig(layers=1, width=8, values=4, windows=(0.5,), hidden=4, overlap_hidden=2)
    VoiceChangeDetector(VoiceChangeNetwork(small)).save(tmp_path / "head" / "voices")
    return tmp_path / "head"


def test_a_model_tells_changes_of_voice_where_its_folder_says_so(copy, head, tmp_path):
    model = replace(ModelFolder.load(copy), voices=VoiceChangeDetector.load(head / "voices"))
    model.save_pretrained(tmp_path / "with")
    config = read_config(tmp_path / "with")
    assert {"voices/voices.json", "voices/model.safetensors"} < set(config.files)
    assert "**Changes of voice**" in (tmp_path / "with" / "README.md").read_text()
    loaded = ModelFolder.load(tmp_path / "with")
    assert loaded.voices is not None
    assert loaded.voices.config.width == 8
    assert ModelFolder.load(tmp_path / "with", encoders=False).voices is None
    (tmp_path / "with" / "voices" / "model.safetensors").write_bytes(b"other")
    with pytest.raises(InputError, match=r"voices/model\.safetensors: its SHA-256"):
        ModelFolder.load(tmp_path / "with")
    path = tmp_path / "with" / "config.json"
    listed = json.loads(path.read_text())
    for lacking in (["model.safetensors"], ["voices.json"], ["model.safetensors", "voices.json"]):
        files = {name: known for name, known in listed["files"].items() if name[7:] not in lacking}
        path.write_text(json.dumps(listed | {"files": files}))
        with pytest.raises(
            InputError, match=rf"config\.json: field 'files' lacks .* voices/{lacking[0]}; get"
        ):
            ModelFolder.load(tmp_path / "with")
    replace(loaded, voices=None).save_pretrained(tmp_path / "with")
    without = ModelFolder.load(tmp_path / "with")
    assert not any(name.startswith("voices/") for name in without.config.files)
    assert without.voices is None
