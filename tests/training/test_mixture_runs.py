"""Which runs may lie together, and which stores belong to them."""

import json

import pytest
from stores import small_recipe

from mister_e.encoders.store import EmbeddingStore
from mister_e.errors import InputError
from mister_e.inference.predict import predict
from mister_e.training.mixture_folder import load_mixture, save_mixture
from mister_e.training.runs import first_difference
from mister_e.training.stage2.run import run_stage2


def test_a_run_of_another_recipe_or_version_is_refused(store, done):
    folder, recipe, _ = done
    with pytest.raises(InputError, match=r"another recipe\.loss\.gamma \(1\.0, now 2\.0\)"):
        run_stage2(recipe.changed({"mixture.loss.gamma": 2}), store, folder / "run")
    path = folder / "run" / "seed-0" / "run.json"
    kept = path.read_text()
    path.write_text(json.dumps({**json.loads(kept), "format": 0}))
    with pytest.raises(InputError, match=r"another format \(0, now 1\)"):
        run_stage2(recipe, store, folder / "run")
    path.write_text(kept)
    assert first_difference({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}) == ("a.c", 2, 3)


# folders


def test_broken_folders_are_named(done, tmp_path):
    folder, _, _ = done
    with pytest.raises(InputError, match=r"no config\.json; it holds runs: name one, such as .*seed-0"):
        load_mixture(folder / "run")
    trained = load_mixture(folder / "run" / "seed-0")
    path = tmp_path / "model"
    save_mixture(path, trained.model, trained.facts)
    config = json.loads((path / "config.json").read_text())
    for change, said in (
        ({"format": 9, "version": "7.0"}, "format 9, written by mister-e 7.0; this version reads 1"),
        ({"kind": "other"}, "not of a trained mixture"),
        ({"labels": ["a", "b"]}, "2 labels, but the model has 3 classes"),
        ({"extra": 1}, "field 'extra'"),
    ):
        (path / "config.json").write_text(json.dumps({**config, **change}))
        with pytest.raises(InputError, match=said):
            load_mixture(path)
    other = trained.facts.model_copy(update={"model": trained.model.config.model_copy(update={"gru": False})})
    (path / "config.json").write_text(json.dumps({**config, "model": other.model_dump(mode="json")["model"]}))
    with pytest.raises(InputError, match="has an unexpected weight"):
        load_mixture(path)
    (path / "config.json").write_text(json.dumps(config))
    (path / "model.safetensors").write_bytes(b"garbage")
    with pytest.raises(InputError, match="its SHA-256 is not the expected"):
        load_mixture(path)


def test_a_store_of_other_encoders_than_the_models_is_refused(store, done):
    folder, _, _ = done
    trained = load_mixture(folder / "run" / "seed-0")
    facts = json.loads(json.dumps(store.facts))
    facts["encoders"]["text"]["identity"] = "z" * 64
    with pytest.raises(
        InputError, match=r"text embeddings are by words zzz.*, the model was trained on those by words ttt"
    ):
        trained.check(EmbeddingStore(store.folder, facts))
    facts = {**store.facts, "protocol": {**store.facts["protocol"], "labels": ["a", "b", "c"]}}
    with pytest.raises(InputError, match="its labels are a, b, c, the model's are sad, glad, mad"):
        trained.check(EmbeddingStore(store.folder, facts))
    facts = {**store.facts, "corpus_sha256": "9" * 64}
    with pytest.raises(InputError, match=r"999…, .*the same corpus, prepared otherwise"):
        trained.check(EmbeddingStore(store.folder, facts))


def test_a_store_that_lacks_a_modality_is_scored_only_without_it(store, done):
    folder, _, _ = done
    trained = load_mixture(folder / "run" / "seed-0")
    words = EmbeddingStore(
        store.folder, {**store.facts, "encoders": {"text": store.facts["encoders"]["text"]}}
    )
    with pytest.raises(InputError, match=r"no speech embeddings, .*evaluate with --mode text-only"):
        trained.check(words)
    trained.check(words, "text-only")


def test_the_temperature_follows_what_was_shown_even_of_one_expert(store, tmp_path):
    recipe = small_recipe(tmp_path, "mixture.model.experts=[fusion]", "seeds=[0]")
    run_stage2(recipe, store, tmp_path / "run")
    trained = load_mixture(tmp_path / "run" / "seed-0")
    for mode, expected in (("full", "both"), ("text-only", "text"), ("speech-only", "speech")):
        said = predict(trained, list(store.conversations("validation")), mode=mode)
        assert (trained.temperatures(said) == getattr(trained.calibration, expected)).all()


def test_a_run_that_failed_before_its_first_step_gives_way(store, tmp_path):
    recipe = small_recipe(tmp_path, "seeds=[0]")
    other = recipe.changed({"mixture.loss.gamma": 2})
    run_stage2(other, store, tmp_path / "run")
    run = tmp_path / "run" / "seed-0"
    for path in sorted(run.rglob("*"), reverse=True):
        if path.name != "run.json":
            path.rmdir() if path.is_dir() else path.unlink()
    run_stage2(recipe, store, tmp_path / "run")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="a file is in its way"):
        run_stage2(recipe, store, tmp_path / "file")


def test_seeds_side_by_side_are_of_one_recipe_and_each_named_once(store, done):
    folder, recipe, _ = done
    other = recipe.changed({"mixture.loss.gamma": 2})
    with pytest.raises(InputError, match=r"seed-\d: holds a run with another recipe\.loss\.gamma"):
        run_stage2(other, store, folder / "run", seeds=[7])
    with pytest.raises(InputError, match="seed 3 is named twice"):
        run_stage2(recipe, store, folder / "run", seeds=[3, 3])
    assert not (folder / "run" / "seed-7").exists()
