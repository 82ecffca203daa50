"""A store written by hand, and a run of two seeds on it."""

import pytest
from stores import make_store, small_recipe

from mister_e.training.stage2.run import run_stage2


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("stage2") / "store", sizes=(3, 9, 5))


@pytest.fixture(scope="module")
def done(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("done")
    recipe = small_recipe(folder, "mixture.train.epochs=6", "mixture.train.ema=0.8")
    return folder, recipe, run_stage2(recipe, store, folder / "run")
