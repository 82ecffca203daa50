"""Speed of a training step of stage 2, and long conversations: `python benchmarks/stage2.py`.

Batches of eight conversations of 8 to 110 turns, 2048 numbers an embedding, the published sizes. A
step (forward, loss, backward, clip, optimizer) is timed for our mixture in float32 and under bfloat16
autocast, and for the same network on padded batches ("plain") in float32, in turns, each in processes
of its own: `train` asks the C library to keep freed memory, and the plain way does not.
With `--mixture RUN/seed-0 --data STORE`, windows over a long conversation, put together from those of
a store, are compared with the whole of it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mister_e.encoders.conversations import StoredConversation, only_judgeable
from mister_e.encoders.store import EmbeddingStore
from mister_e.inference.batch import Batch, pad, run
from mister_e.inference.model_folder import ModelFolder
from mister_e.inference.predict import predict
from mister_e.model import MisterE, MixtureOutput
from mister_e.model.config import MixtureConfig
from mister_e.model.windows import Window
from mister_e.training.losses import LossConfig, mixture_loss
from mister_e.training.runtime import keep_freed_memory

HERE = Path(__file__).parent


class PlainContext(nn.Module):
    """A context network on padded batches `[B, T]`, without a mask."""

    def __init__(self, config: MixtureConfig, width: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv1d(width, config.hidden, k, padding=k // 2) for k in config.kernels
        )
        self.gru = nn.GRU(
            config.hidden, config.gru_hidden, config.gru_layers, batch_first=True, bidirectional=True
        )
        self.skip = nn.Linear(width, config.hidden)
        self.classifier = nn.Linear(config.hidden, config.classes)

    def forward(self, turns: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and representations of all positions."""
        line = turns.transpose(1, 2)
        views = (
            torch.stack([F.relu(convolution(line)) for convolution in self.convolutions])
            .sum(0)
            .transpose(1, 2)
        )
        hidden = self.gru(views)[0] + self.skip(turns)
        return self.classifier(hidden), hidden


class PlainAttention(nn.Module):
    """An attention on `[B, T]` without a mask."""

    def __init__(self, config: MixtureConfig) -> None:
        super().__init__()
        self.heads, self.dropout = config.attention_heads, config.dropout
        self.query, self.key, self.value = (
            nn.Linear(config.fusion_dim, config.attention_dim) for _ in range(3)
        )
        self.output = nn.Linear(config.attention_dim, config.fusion_dim)
        self.head_dropout, self.norm = nn.Dropout(config.head_dropout), nn.LayerNorm(config.fusion_dim)

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Queries plus what they attend to."""

        def split(x: Tensor) -> Tensor:
            return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        attended = F.scaled_dot_product_attention(
            split(self.query(queries)),
            split(self.key(keys)),
            split(self.value(keys)),
            dropout_p=self.dropout,
        )
        return self.norm(queries + self.head_dropout(self.output(attended.transpose(1, 2).flatten(2))))


class PlainMixture(nn.Module):
    """The method written plainly: every operation on padded batches `[B, T]`."""

    def __init__(self, config: MixtureConfig) -> None:
        super().__init__()
        width, c = config.fusion_dim, config.classes
        self.temperature = config.gate_temperature
        self.speech_expert = PlainContext(config, config.speech_dim)
        self.text_expert = PlainContext(config, config.text_dim)
        self.inputs = nn.ModuleList(nn.Linear(config.speech_dim, width) for _ in range(2))
        self.skips = nn.ModuleList(nn.Linear(config.speech_dim, width) for _ in range(2))
        self.blocks = nn.ModuleList(
            nn.ModuleList(PlainAttention(config) for _ in range(4)) for _ in range(config.fusion_blocks)
        )
        self.head = nn.Sequential(
            nn.LayerNorm(2 * width), nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, c)
        )
        self.gate = nn.Sequential(
            nn.Linear(3 * c, config.gate_hidden), nn.ReLU(), nn.Linear(config.gate_hidden, 3)
        )

    def forward(self, speech: Tensor, text: Tensor) -> MixtureOutput:
        """Outputs for all positions of a batch."""
        speech_logits, speech_hidden = self.speech_expert(speech)
        text_logits, text_hidden = self.text_expert(text)
        fused_speech, fused_text = self.inputs[0](speech), self.inputs[1](text)
        for speech_text, text_speech, speech_speech, text_text in self.blocks:
            fused_speech, fused_text = (
                speech_text(fused_speech, fused_text),
                text_speech(fused_text, fused_speech),
            )
            fused_speech, fused_text = (
                speech_speech(fused_speech, fused_speech),
                text_text(fused_text, fused_text),
            )
        fused_speech, fused_text = fused_speech + self.skips[0](speech), fused_text + self.skips[1](text)
        fusion_logits = self.head(torch.cat([fused_speech, fused_text], -1))
        experts = torch.stack([speech_logits, text_logits, fusion_logits], 2)
        gate = (self.gate(experts.flatten(-2)) / self.temperature).softmax(-1)
        logits = (gate[..., None] * experts).sum(-2)
        return MixtureOutput(
            logits, experts, gate, speech_hidden, text_hidden, torch.ones_like(gate, dtype=torch.bool)
        )


#: Turns of the conversations of a batch, evenly spaced; the plain way pads all to the longest.
LENGTHS = (8, 23, 37, 52, 66, 81, 95, 110)


def make_batch(lengths: Sequence[int], width: int, classes: int) -> Batch:
    """A batch of conversations of random embeddings."""
    conversations = [
        StoredConversation(
            "",
            (),
            torch.randn(n, width),
            torch.randn(n, width),
            torch.ones(n).bool(),
            torch.ones(n).bool(),
            torch.randint(classes, (n,)),
        )
        for n in lengths
    ]
    return pad(conversations)


#: Ways to take a step. The last is the plain one with the allocator set as `train` sets it.
WAYS = ("plain float32", "ours float32", "ours bfloat16", "plain float32, freed memory kept")


def measure_way(way: str, config: MixtureConfig, repeats: int) -> dict[str, float]:
    """Time steps of one way in this process.

    :return: median seconds of a step, and the machine's gigaflops beside it.
    """
    if way != WAYS[0]:
        keep_freed_memory()
    torch.manual_seed(0)
    batch = make_batch(LENGTHS, config.text_dim, config.classes)
    if way.startswith("plain"):
        plain = PlainMixture(config)
        step = _step(plain, torch.optim.Adam(plain.parameters(), 1e-5), lambda: _plain_loss(plain, batch))
    else:
        ours, half = MisterE(config), way.endswith("bfloat16")
        step = _step(ours, _fused(ours), lambda: _loss(ours, batch, half=half))
    seconds = []
    for number in range(repeats + 2):
        began = time.perf_counter()
        step()
        if number >= 2:  # the first ones warm up
            seconds.append(time.perf_counter() - began)
    return {"seconds": statistics.median(seconds), "gemm": gemm_rate()}


def measure_steps(arguments: argparse.Namespace, config: MixtureConfig) -> dict[str, object]:
    """Time the ways in turn, each in a process of its own; medians of real turns a second."""
    rows: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(arguments.rounds):
        for way in WAYS:
            rows[way].append(json.loads(_alone(arguments, "--way", way, "--repeats", str(arguments.repeats))))
    real = sum(LENGTHS)
    rates = {way: real / statistics.median(row["seconds"] for row in each) for way, each in rows.items()}
    with torch.device("meta"):
        ours = MisterE(config)
    matrices, read = _products(ours)
    flops = {"all gradients": 6 * matrices, "gradients that are needed": 6 * matrices - 2 * read}
    machine = statistics.median(row["gemm"] for each in rows.values() for row in each)
    return {
        "lengths": list(LENGTHS),
        "real_turns": real,
        "padded_turns": len(LENGTHS) * max(LENGTHS),
        "parameters": sum(p.numel() for p in ours.parameters()),
        "real_turns_per_second": {way: round(rate, 1) for way, rate in rates.items()},
        "ratio_to_plain": {way: round(rate / rates[WAYS[0]], 2) for way, rate in rates.items()},
        "gemm_gflops": round(machine, 1),
        "float32_fraction_of_gemm": {
            counted: round(rates["ours float32"] * work / 1e9 / machine, 3) for counted, work in flops.items()
        },
    }


def gemm_rate(size: int = 2048) -> float:
    """Gigaflops of a large float32 product, the best of five."""
    a, b = torch.randn(2, size, size)
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best / 1e9


def long_conversation(conversations: list[StoredConversation], turns: int) -> StoredConversation:
    """One conversation of so many turns: conversations one after another, repeated."""
    parts: list[StoredConversation] = []
    while sum(map(len, parts)) < turns:
        parts.append(conversations[len(parts) % len(conversations)])
    names = ("text", "speech", "has_text", "has_speech", "labels")
    text, speech, has_text, has_speech, labels = (
        torch.cat([getattr(part, name) for part in parts])[:turns] for name in names
    )
    return StoredConversation(
        "long", tuple(map(str, range(turns))), text, speech, has_text, has_speech, labels
    )


def measure_windows(mixture: Path, data: Path, turns: int) -> dict[str, object]:
    """How often predictions by windows are those of the whole conversation, for several widths of windows."""
    trained, store = ModelFolder.load(mixture, encoders=False), EmbeddingStore.load(data)
    usable = map(only_judgeable, store.conversations("validation"))
    long = long_conversation([conversation for conversation in usable if len(conversation)], turns)
    began = time.perf_counter()
    whole = predict(trained.mixture, [long], window=turns + 1).logits.argmax(1)
    seconds = time.perf_counter() - began
    agreement = {}
    for window in sorted({128, 256, 512, Window().turns, 2048}):
        if window < turns:
            began = time.perf_counter()
            predicted = predict(trained.mixture, [long], window=window).logits.argmax(1)
            agreement[str(window)] = {
                "agreement": round(float((predicted == whole).mean()), 5),
                "seconds": round(time.perf_counter() - began, 2),
            }
    return {
        "turns": turns,
        "whole_seconds": round(seconds, 2),
        "window": Window().turns,
        "overlap": Window().overlap,
        "windows": agreement,
    }


def measure_memory(config: MixtureConfig, turns: int, window: int) -> float:
    """Gigabytes that predicting a long conversation adds to this process's peak memory."""
    torch.manual_seed(0)
    mixture = MisterE(config)
    there = torch.ones(turns).bool()
    text, speech = torch.randn(2, turns, config.text_dim)
    long = StoredConversation(
        "long", ("",) * turns, text, speech, there, there, torch.zeros(turns, dtype=torch.long)
    )
    before = _peak()
    predict(mixture, [long], window=window)
    return _peak() - before


def _peak() -> float:
    """Peak of resident memory in gigabytes; `getrusage` would count that of the parent process."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 2**20


def main() -> None:
    """Measure, and write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=HERE / "stage2.json")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5, help="steps in a process")
    parser.add_argument("--turns", type=int, default=10_000, help="of the long conversation")
    parser.add_argument("--small", action="store_true", help="tiny sizes: to try this program out")
    parser.add_argument("--mixture", type=Path, help="a run's seed folder, for the windows")
    parser.add_argument("--data", type=Path, help="the store that it was trained on")
    parser.add_argument("--memory", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    small = (
        {"hidden": 64, "gru_hidden": 32, "fusion_dim": 64, "text_dim": 96, "speech_dim": 96}
        if arguments.small
        else {}
    )
    config = MixtureConfig(classes=6, **small)
    if arguments.way:
        print(json.dumps(measure_way(arguments.way, config, arguments.repeats)))
        return
    if arguments.memory:
        print(measure_memory(config, arguments.turns, arguments.memory))
        return
    result: dict[str, object] = {
        "machine": {"cores": os.cpu_count(), "threads": torch.get_num_threads(), "cpu": platform.processor()},
        "torch": torch.__version__,
        "sizes": config.model_dump(mode="json"),
        "step": measure_steps(arguments, config),
        "memory_gb": {
            name: round(float(_alone(arguments, "--turns", str(arguments.turns), "--memory", str(window))), 3)
            for name, window in (
                ("whole", arguments.turns + 1),
                (f"windows of {Window().turns}", Window().turns),
            )
        },
    }
    if arguments.mixture and arguments.data:
        result["long"] = measure_windows(arguments.mixture, arguments.data, arguments.turns)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


def _alone(arguments: argparse.Namespace, *more: str) -> str:
    """Run this program for one measurement in a process of its own."""
    command = [sys.executable, __file__, *more, *(["--small"] if arguments.small else [])]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _step(
    model: nn.Module, optimizer: torch.optim.Optimizer, loss: Callable[[], Tensor]
) -> Callable[[], None]:
    def step() -> None:
        loss().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def _fused(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), 1e-5, weight_decay=0.0, fused=True)


def _loss(mixture: MisterE, batch: Batch, *, half: bool) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        output = run(mixture, batch)
    return mixture_loss(output, batch.labels, mask=batch.mask, weights=LossConfig())


def _plain_loss(plain: PlainMixture, batch: Batch) -> Tensor:
    """The loss over all positions, padding included (its label becomes class 0)."""
    output = plain(batch.speech, batch.text)
    everywhere = torch.ones_like(batch.mask)
    return mixture_loss(output, batch.labels.clamp_min(0), mask=everywhere, weights=LossConfig())


def _products(mixture: MisterE) -> tuple[int, int]:
    """Multiplications a turn by all weight matrices, and by those that take embeddings as input."""
    every = {name: p.numel() for name, p in mixture.named_parameters() if p.ndim > 1}
    reading = ("convolutions", "skip.", "speech_input", "text_input", "speech_skip", "text_skip")
    return sum(every.values()), sum(n for name, n in every.items() if any(part in name for part in reading))


if __name__ == "__main__":
    main()
