import json

import numpy as np
import pytest
import torch
from stores import make_store, small_recipe

from mister_e.encoders.store import EmbeddingStore
from mister_e.errors import InputError
from mister_e.evaluation import ablation
from mister_e.evaluation.ablation import FRACTIONS, FULL, LOST, VARIANTS, ablate, drop_modality
from mister_e.inference.model_folder import ModelFolder
from mister_e.inference.predict import predict
from mister_e.metrics.classification import weighted_f1

pytestmark = pytest.mark.slow

CHANGES = ("seeds=[0, 1]", "mixture.train.epochs=1")
CHOSEN = (FULL, "text expert alone", "vote instead of the gate")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ablation")
    store = make_store(folder / "store", talks=8)
    recipe = small_recipe(folder, *CHANGES)
    table = ablate(recipe, store, folder / "out", variants=CHOSEN)
    return folder, store, recipe, table


def test_every_variant_is_a_model(done):
    _, _, recipe, _ = done
    kinds = {name: recipe.changed(changes).stage2() for name, changes in VARIANTS.items()}
    assert len({recipe.model_dump_json() for recipe in kinds.values()}) == len(VARIANTS)
    assert kinds[FULL] == recipe.stage2()


def test_scores_are_those_of_the_kept_models(done):
    folder, store, _, table = done
    assert [row["variant"] for row in table["variants"]] == list(CHOSEN)
    assert json.loads((folder / "out" / "ablation.json").read_text()) == table
    test = list(store.conversations("test"))
    for row in table["variants"]:
        for seed, score in enumerate(row["test"]["each"]):
            run = folder / "out" / row["variant"].replace(" ", "-") / f"seed-{seed}"
            predictions = predict(ModelFolder.load(run, encoders=False).mixture, test)
            expected = weighted_f1(
                predictions.labels[predictions.scored], predictions.logits.argmax(1)[predictions.scored]
            )
            assert score == pytest.approx(expected)
        assert row["test"]["weighted_f1"]["mean"] == pytest.approx(np.mean(row["test"]["each"]))
        assert row["test"]["weighted_f1"]["sd"] == pytest.approx(np.std(row["test"]["each"], ddof=1))


def test_the_tables_say_it(done):
    folder, _, _, table = done
    page = (folder / "out" / "ablation.md").read_text()
    for row in table["variants"]:
        score = row["test"]["weighted_f1"]
        assert f"{score['mean']:.2f} ± {score['sd']:.2f}" in page
    assert [(row["lost"], row["rate"]) for row in table["robustness"]] == [
        (x, r) for x in LOST for r in FRACTIONS
    ]
    unharmed = [row["test"]["mean"] for row in table["robustness"] if row["rate"] == 0]
    assert unharmed == pytest.approx([table["variants"][0]["test"]["weighted_f1"]["mean"]] * 3)


def test_what_is_done_is_not_done_again(done, monkeypatch):
    folder, store, recipe, table = done
    monkeypatch.setattr(ablation, "score", lambda *_, **__: pytest.fail("scored again"))
    monkeypatch.setattr("mister_e.training.stage2.run.train_one", lambda *_: pytest.fail("trained again"))
    assert ablate(recipe, store, folder / "out", variants=CHOSEN) == table


def test_another_recipe_is_refused(done):
    folder, store, recipe, _ = done
    other = recipe.changed({"mixture.train.learning_rate": 0.5})
    with pytest.raises(InputError, match=r"another recipe\.train\.learning_rate"):
        ablate(other, store, folder / "out", variants=(FULL,))
    with pytest.raises(InputError, match="there is no variant 'none': the variants are full"):
        ablate(recipe, store, folder / "out", variants=("none",))
    with pytest.raises(InputError, match=r"no voices to pair with; take mixture\.pairing out"):
        ablate(recipe.changed({"mixture.pairing": {}}), store, folder / "paired")


@pytest.mark.parametrize("lost", LOST)
def test_modalities_are_lost_from_the_fraction_of_turns(done, lost):
    folder, _, _, _ = done
    store = EmbeddingStore.load(folder / "store")
    conversations = [
        conversation
        for split in ("train", "validation", "test")
        for conversation in store.conversations(split)
    ]
    before = None
    for fraction in FRACTIONS:
        shown = drop_modality(conversations, lost, fraction)
        text = ~torch.cat([conversation.has_text for conversation in shown])
        speech = ~torch.cat([conversation.has_speech for conversation in shown])
        assert not (text & speech).any()
        assert (text | speech).float().mean() == pytest.approx(fraction, abs=0.12)
        assert lost == "either" or not (text if lost == "speech" else speech).any()
        if before is not None:
            assert ((text | speech) >= before).all()
        before = text | speech
