"""A killed run goes on to the same losses; two processes see the same losses as one."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow

TALKS = """
import sys
from pathlib import Path
import torch
from mister_e.encoders.text.encoder import TextEncoder, TextEncoderConfig
from mister_e.labels import LabelSet
from mister_e.conversation import Conversation, Utterance
from mister_e.training.settings import FinetuneSettings
from mister_e.training.stage1.task import finetune
from mister_e.training.runtime import seed_everything

torch.set_num_threads(1)
WORDS = [("it hurts", "sad"), ("so happy", "glad"), ("what a lovely day", "glad"), ("crying again", "sad")]
talks = [
    Conversation(f"c{i}", tuple(Utterance(str(j), *(), **{"text": f"{WORDS[(i * 3 + j) % 4][0]} {j}",
                 "label": WORDS[(i * 3 + j) % 4][1]}) for j in range(8)))
    for i in range(10)
]
dropout = float(sys.argv[2])
seed_everything(0)
encoder = TextEncoder.from_base(
    TextEncoderConfig(base="minilm-l6", classes=2, embedding_dim=16, history=1, dropout=dropout)
)
if not dropout:
    for module in encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
settings = FinetuneSettings(epochs=2, learning_rate=1e-4, batch_examples=8, checkpoint_every=3, trackers=())
finetune(encoder, talks[:8], talks[8:], LabelSet(("sad", "glad")), settings, Path(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("script") / "train.py"
    path.write_text(TALKS)
    return path


def rows(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_a_killed_run_goes_on_to_the_same_losses(script, tmp_path):
    command = [sys.executable, str(script)]
    subprocess.run([*command, str(tmp_path / "whole"), "0.1"], check=True, capture_output=True)
    whole = rows(tmp_path / "whole")
    kills = 0
    for wanted in (5, 12):  # steps: between two checkpoints of the first epoch, and in the second
        with subprocess.Popen([*command, str(tmp_path / "killed"), "0.1"], stderr=subprocess.DEVNULL) as run:
            log = tmp_path / "killed" / "log.jsonl"
            while run.poll() is None:
                if log.exists() and sum('"step"' in line for line in log.read_text().splitlines()) >= wanted:
                    os.kill(run.pid, signal.SIGKILL)
                    kills += 1
                    break
                time.sleep(0.002)
    assert kills == 2
    subprocess.run([*command, str(tmp_path / "killed"), "0.1"], check=True, capture_output=True)
    assert rows(tmp_path / "killed") == whole


def test_two_processes_see_the_losses_of_one(script, tmp_path):
    subprocess.run([sys.executable, str(script), str(tmp_path / "one"), "0"], check=True, capture_output=True)
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--standalone",
    ]
    done = subprocess.run(
        [*launch, str(script), str(tmp_path / "two"), "0"],
        capture_output=True,
        text=True,
        env={**os.environ, "ACCELERATE_USE_CPU": "true"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = rows(tmp_path / "one"), rows(tmp_path / "two")
    assert len(one) == len(two)
    for alone, shared in zip(one, two, strict=True):
        for name, value in alone.items():
            assert shared[name] == pytest.approx(value, abs=2e-3, rel=2e-2), (name, alone, shared)
