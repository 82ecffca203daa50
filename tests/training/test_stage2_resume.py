"""Stage 2: a killed run goes on to the same losses; two processes see the same losses as one."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file
from stores import make_store, small_recipe

pytestmark = pytest.mark.slow

SCRIPT = """
import sys
from pathlib import Path
import torch
from mister_e.encoders.store import EmbeddingStore
from mister_e.training.recipe import read_recipe
from mister_e.training.stage2.run import run_stage2

torch.set_num_threads(1)
store = EmbeddingStore.load(sys.argv[1])
run_stage2(read_recipe(Path(sys.argv[2]), sys.argv[4:]), store, Path(sys.argv[3]), seeds=[0])
"""
VARIED = (
    "mixture.train.epochs=8",
    "mixture.train.checkpoint_every=5",
    "mixture.train.ema=0.9",
    "mixture.train.input_dropout=0.1",
    "mixture.train.drop_text=0.2",
    "mixture.train.prefixes=0.3",
)
PLAIN = (
    "mixture.train.epochs=3",
    "mixture.model.dropout=0",
    "mixture.model.head_dropout=0",
    "mixture.loss.contrastive=0",
)


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    folder = tmp_path_factory.mktemp("script")
    make_store(folder / "store", talks=24)
    small_recipe(folder)
    (folder / "train.py").write_text(SCRIPT)
    return [str(folder / "train.py"), str(folder / "store"), str(folder / "small.yaml")]


def rows(run):
    return [json.loads(line) for line in (Path(run) / "seed-0" / "log.jsonl").read_text().splitlines()]


def test_a_killed_run_goes_on_to_the_same_losses(command, tmp_path):
    python = [sys.executable, *command]
    subprocess.run([*python, str(tmp_path / "whole"), *VARIED], check=True, capture_output=True)
    whole = rows(tmp_path / "whole")
    kills = 0
    for wanted in (7, 17):  # steps: between two checkpoints, and an epoch after the last one
        with subprocess.Popen([*python, str(tmp_path / "killed"), *VARIED], stderr=subprocess.DEVNULL) as run:
            log = tmp_path / "killed" / "seed-0" / "log.jsonl"
            while run.poll() is None:
                if log.exists() and sum('"step"' in line for line in log.read_text().splitlines()) >= wanted:
                    os.kill(run.pid, signal.SIGKILL)
                    kills += 1
                    break
                time.sleep(0.001)
    assert kills == 2
    subprocess.run([*python, str(tmp_path / "killed"), *VARIED], check=True, capture_output=True)
    assert rows(tmp_path / "killed") == whole
    one, two = (
        load_file(tmp_path / name / "seed-0/model/mixture.safetensors") for name in ("whole", "killed")
    )
    assert all((one[name] == two[name]).all() for name in one)


def test_two_processes_see_the_losses_of_one(command, tmp_path):
    subprocess.run([sys.executable, *command, str(tmp_path / "one"), *PLAIN], check=True, capture_output=True)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    done = subprocess.run(
        [*launch, *command, str(tmp_path / "two"), *PLAIN],
        capture_output=True,
        text=True,
        env={**os.environ, "ACCELERATE_USE_CPU": "true"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = rows(tmp_path / "one"), rows(tmp_path / "two")
    assert len(one) == len(two)
    for alone, shared in zip(one, two, strict=True):
        for name, value in alone.items():
            assert shared[name] == pytest.approx(value, abs=1e-4, rel=1e-3), (name, alone, shared)
