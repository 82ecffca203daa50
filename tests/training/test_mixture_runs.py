"""Which runs may lie together, and which stores belong to them."""

import json
import shutil

import pytest
from stores import small_recipe

from mister_e.encoders.store import EmbeddingStore
from mister_e.errors import InputError
from mister_e.evaluation.trained_run import check_store
from mister_e.inference.calibration import temperatures
from mister_e.inference.model_folder import ModelFolder
from mister_e.inference.predict import predict
from mister_e.training.runs import first_difference
from mister_e.training.stage2.run import run_stage2

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(done):
    folder, _, _ = done
    return ModelFolder.load(folder / "run" / "seed-0", encoders=False)


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


def test_the_model_of_a_run_is_named_and_wants_its_encoders(done, tmp_path):
    folder, _, _ = done
    with pytest.raises(InputError, match=r"holds runs of 2 seeds: name one, such as .*seed-0"):
        ModelFolder.load(folder / "run", encoders=False)
    with pytest.raises(InputError, match=r"run mister-e export .*seed-0 --text ENCODER --speech ENCODER"):
        ModelFolder.load(folder / "run" / "seed-0")
    shutil.copytree(folder / "run" / "seed-0", tmp_path / "run" / "seed-0")
    ModelFolder.load(tmp_path / "run", encoders=False)
    shutil.rmtree(tmp_path / "run" / "seed-0" / "model")
    with pytest.raises(InputError, match="not finished: no seed has a model yet; run mister-e train again"):
        ModelFolder.load(tmp_path / "run", encoders=False)


def test_a_store_of_other_encoders_than_the_models_is_refused(store, trained):
    check_store(trained, store)
    metadata = json.loads(json.dumps(store.metadata))
    metadata["encoders"]["text"]["identity"] = "z" * 64
    with pytest.raises(
        InputError, match=r"text embeddings are by words zzz.*, the model was trained on those by words ttt"
    ):
        check_store(trained, EmbeddingStore(store.folder, metadata))
    metadata = {**store.metadata, "protocol": {**store.metadata["protocol"], "labels": ["a", "b", "c"]}}
    with pytest.raises(InputError, match="its labels are a, b, c, the model's are sad, glad, mad"):
        check_store(trained, EmbeddingStore(store.folder, metadata))
    metadata = {**store.metadata, "corpus_sha256": "9" * 64}
    with pytest.raises(InputError, match=r"999…, .*the same corpus, prepared otherwise"):
        check_store(trained, EmbeddingStore(store.folder, metadata))


def test_a_store_that_lacks_a_modality_is_scored_only_without_it(store, trained):
    words = EmbeddingStore(
        store.folder, {**store.metadata, "encoders": {"text": store.metadata["encoders"]["text"]}}
    )
    with pytest.raises(InputError, match=r"no speech embeddings, .*evaluate with --mode text-only"):
        check_store(trained, words)
    check_store(trained, words, "text-only")


def test_the_temperature_follows_what_was_shown_even_of_one_expert(store, tmp_path):
    recipe = small_recipe(tmp_path, "mixture.model.experts=[fusion]", "seeds=[0]")
    run_stage2(recipe, store, tmp_path / "run")
    trained = ModelFolder.load(tmp_path / "run" / "seed-0", encoders=False)
    for mode, expected in (("full", "both"), ("text-only", "text"), ("speech-only", "speech")):
        predictions = predict(trained.mixture, list(store.conversations("validation")), mode=mode)
        used = temperatures(trained.calibration, predictions)
        assert (used == getattr(trained.calibration, expected)).all()


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
