"""Speed and memory of stage 1: `python benchmarks/encoders.py --data DIR`.

Words are MELD's (`DIR/erc/meld.csv`), sound is read speech (`DIR/librispeech/`). Each part runs in a
process of its own. Weights are those that fine-tuning starts from: they decide the scores, not the speed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RECIPES = {name: ROOT / "recipes" / "meld" / f"{name}.yaml" for name in ("mini", "mini-llm")}
#: Turns that are also embedded one by one: enough for a rate, short of minutes.
ALONE = 150


def corpus_of(data: Path, folder: Path) -> Any:
    """Prepare MELD's table."""
    from mister_e.corpora import table
    from mister_e.labels import MELD_EMOTIONS

    return table.prepare(data / "erc" / "meld.csv", folder, labels=tuple(MELD_EMOTIONS), name="MELD-7")


def embedding(data: Path, runs: int, recipe: str) -> dict[str, float]:
    """Turns a second: the test split in batches, and some of it one turn at a time, in turn.

    The turns that are embedded alone are whole prompts of one turn, without padding, as a loop over
    utterances would embed them; the batches hold the same prompts, and then those of the recipe.
    """
    from mister_e.encoders.base import embed
    from mister_e.encoders.registry import new_encoder
    from mister_e.training.recipe import read_recipe

    chosen = read_recipe(RECIPES[recipe]).part("text").encoder
    with tempfile.TemporaryDirectory() as folder:
        conversations = list(corpus_of(data, Path(folder)).conversations("test"))
    single = chosen.model_copy(update={"history": 0, "turns_per_prompt": 1, "instruction": None})
    encoder, plain = (new_encoder("text", config).eval() for config in (chosen, single))
    turns = [(turn,) for conversation in conversations for turn in conversation]
    singles = [type(conversations[0])(str(i), own) for i, own in enumerate(turns)]
    ways: dict[str, tuple[Callable[[], object], int]] = {
        "one_at_a_time": (lambda: [embed(plain, [single]) for single in singles[:ALONE]], ALONE),
        "batched": (lambda: embed(plain, singles), len(singles)),
        "as_the_recipe": (lambda: embed(encoder, conversations), len(singles)),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for way, _ in ways.values():
        way()
    for _ in range(runs):
        for name, (way, _) in ways.items():
            began = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - began)
    rates = {name: count / statistics.median(seconds[name]) for name, (_, count) in ways.items()}
    return {f"{name}_turns_a_second": round(rate, 1) for name, rate in rates.items()} | {
        "batched_is_faster_by": round(rates["batched"] / rates["one_at_a_time"], 2)
    }


def speech(data: Path, runs: int, _: str) -> dict[str, float]:
    """CPU milliseconds a second of sound: from samples to embeddings by the bundled Whisper."""
    from mister_e.audio.decode import read_clip
    from mister_e.audio.format import SAMPLE_RATE
    from mister_e.conversation import Clip, Conversation, Utterance
    from mister_e.encoders.base import embed
    from mister_e.encoders.speech.whisper import WhisperEncoder, WhisperEncoderConfig

    clips = sorted((data / "librispeech").glob("*.ogg"))[:60]
    sounds = [read_clip(path, 0.0, None, None) for path in clips]
    turns = [Utterance(str(i), audio=Clip(samples=sound)) for i, sound in enumerate(sounds)]
    conversations = [Conversation(str(i), tuple(turns[i : i + 10])) for i in range(0, len(turns), 10)]
    encoder = WhisperEncoder.from_base(WhisperEncoderConfig())
    embed(encoder, conversations[:1])
    cpu, wall = [], []
    for _number in range(runs):
        began, clock = time.perf_counter(), time.process_time()
        embed(encoder, conversations)
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - clock)
    seconds = sum(map(len, sounds)) / SAMPLE_RATE
    return {
        "sound_s": round(seconds, 1),
        "cpu_ms_a_second": round(1000 * statistics.median(cpu) / seconds, 2),
        "wall_ms_a_second": round(1000 * statistics.median(wall) / seconds, 2),
    }


def epoch(data: Path, _: int, recipe: str) -> dict[str, float]:
    """Seconds of one epoch of fine-tuning on MELD, validation included, loading not."""
    from mister_e.encoders.registry import new_encoder
    from mister_e.labels import MELD_EMOTIONS
    from mister_e.training.recipe import read_recipe
    from mister_e.training.stage1.task import finetune

    name, _, variant = recipe.partition(" ")
    changes = ["text.finetune.epochs=1", "text.finetune.trackers=[]"]
    if variant:
        changes.append("text.encoder.lora.targets=[q_proj, v_proj]")
    chosen = read_recipe(RECIPES[name], changes).part("text")
    with tempfile.TemporaryDirectory() as folder:
        corpus = corpus_of(data, Path(folder) / "corpus")
        splits = {split: list(corpus.conversations(split)) for split in ("train", "validation")}
        encoder = new_encoder("text", chosen.encoder.model_copy(update={"classes": len(MELD_EMOTIONS)}))
        assert chosen.finetune is not None
        began = time.perf_counter()
        finetune(
            encoder,
            splits["train"],
            splits["validation"],
            MELD_EMOTIONS,
            chosen.finetune,
            Path(folder) / "run",
        )
        return {"epoch_s": round(time.perf_counter() - began, 1)}


PARTS: dict[str, tuple[Callable[[Path, int, str], dict[str, float]], str]] = {
    "embed words, mini": (embedding, "mini"),
    "embed words, mini-llm": (embedding, "mini-llm"),
    "embed speech": (speech, ""),
    "fine-tune words, mini": (epoch, "mini"),
    "fine-tune words, mini-llm": (epoch, "mini-llm"),
    "fine-tune words, mini-llm with LoRA on q and v": (epoch, "mini-llm q,v"),
}


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with erc/meld.csv and librispeech/")
    parser.add_argument("--runs", type=int, default=5, help="of what is not an epoch; medians count")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="only these")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--measure", choices=PARTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        part, what = PARTS[arguments.measure]
        result = part(arguments.data, arguments.runs, what)
        result["peak_rss_gb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2)
        print(json.dumps(result))
        return
    before = json.loads(arguments.out.read_text(encoding="utf-8")) if arguments.out.is_file() else {}
    results = before | {"machine": f"{os.cpu_count()} cores, {platform.machine()}", "runs": arguments.runs}
    for name in arguments.parts:
        command = [sys.executable, __file__, "--data", str(arguments.data), "--runs", str(arguments.runs)]
        done = subprocess.run([*command, "--measure", name], stdout=subprocess.PIPE, text=True, check=True)
        results[name] = json.loads(done.stdout.splitlines()[-1])
        print(name, results[name], file=sys.stderr)
        arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
