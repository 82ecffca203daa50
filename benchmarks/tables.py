"""Write the generated parts of README.md, docs/data.md and docs/results.md: `python benchmarks/tables.py`.

Each part stands between two comments; `--check` changes nothing and fails where one is out of date.
The numbers come from the models' `config.json` and from `benchmarks/speed.json`. Scores come from
`benchmarks/results/*.json`, one file a corpus, see `results`.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import cutting_tables
from mister_e.cli.verbs.models import MAIN_SCORES, megabytes
from mister_e.corpora import SPLITS
from mister_e.corpora.releases import iemocap, meld, mosi
from mister_e.files import write_text
from mister_e.metrics.summary import mean_std_text
from mister_e.pretrained import bundled

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DATA = ROOT / "docs" / "data.md"
SPEED = ROOT / "benchmarks" / "speed.json"
PREPARE = ROOT / "benchmarks" / "prepare.json"
RESULTS = ROOT / "benchmarks" / "results"
RESULTS_PAGE = ROOT / "docs" / "results.md"
ENCODERS = ROOT / "benchmarks" / "encoders.json"
STAGE1 = ROOT / "benchmarks" / "stage1.json"
CHOICES = ROOT / "benchmarks" / "choices.json"
STAGE2 = ROOT / "benchmarks" / "stage2.json"
VOICES = ROOT / "benchmarks" / "voices.json"
RECOGNITION = {
    "`tiny.en`": ROOT / "benchmarks" / "recognition.json",
    "`base`": ROOT / "benchmarks" / "recognition-base.json",
}
CUTTING = ROOT / "benchmarks" / "cutting.json"
CONFIDENCE = ROOT / "benchmarks" / "confidence.json"
TRAIN_PAGE = ROOT / "docs" / "train.md"


def models() -> str:
    """Table of the bundled models, a row each; their cards tell more."""
    lines = [
        "| model | words: weighted F1 | voices: weighted F1 | size | terms |",
        "|---|---|---|---|---|",
    ]
    for config in bundled():
        cells = [config["name"], *(_with_interval(config["scores"][name]) for name in MAIN_SCORES.values())]
        terms = config["terms"].partition(":")[0]
        lines.append(f"| {' | '.join(cells)} | {megabytes(config['folder']):.0f} MB | {terms} |")
    return "\n".join(lines)


def _with_interval(score: dict[str, Any]) -> str:
    """Weighted F1 and, where there is one, its 95 % interval."""
    interval = " to ".join(f"{edge:.1f}" for edge in score.get("interval", ()))
    return f"{score['weighted_f1']:.1f}" + (f" ({interval})" if interval else "")


def speed() -> str:
    """Table of speed and memory."""
    result = json.loads(SPEED.read_text(encoding="utf-8"))
    ways = {
        "decode": "decode",
        "turns": "decode and cut into turns",
        "turns and words": "decode, cut and transcribe",
        "analyze without asr": "analyse, `--no-asr`",
        "analyze": "analyse, whole",
    }
    lines = [
        f"{result['minutes']:g} minutes of {result['speech']}, medians of {result['runs']} runs on"
        f" {result['machine']}; the model's loading is not counted in the factor.",
        "",
        "| what | seconds a second of sound | CPU seconds | loading, s | peak memory, GB |",
        "|---|---|---|---|---|",
    ]
    for way, name in ways.items():
        row = result[way]
        lines.append(
            f"| {name} | {row['real_time_factor']:.3f} | {row['cpu_real_time_factor']:.3f} |"
            f" {row['load_seconds']:.1f} | {row['peak_rss_gb']:.2f} |"
        )
    lines += [
        "",
        f"Of the whole analysis: {fractions(result)}.",
    ]
    return "\n".join(lines)


def fractions(result: dict[str, Any]) -> str:
    """Fraction of the time that each stage takes: differences of medians of the same run."""
    ends = [result[way]["real_time_factor"] for way in ("decode", "turns", "turns and words", "analyze")]
    stages = ("decoding", "finding turns", "recognising words", "emotions")
    parts = [end - begin for begin, end in zip([0.0, *ends[:-1]], ends, strict=True)]
    return ", ".join(f"{name} {part / ends[-1]:.0%}" for name, part in zip(stages, parts, strict=True))


def protocols() -> str:
    """Table of the corpora's protocols; variants of one are left to the text."""
    lines = ["| protocol | labels | train | validation | test | what |", "|---|---|---|---|---|---|"]
    for corpus in (meld, iemocap, mosi):
        for protocol in corpus.PROTOCOLS.values():
            if not protocol.name.endswith(("-context", "-session1")):
                counts = " | ".join(f"{protocol.expected[split]:,}" for split in SPLITS)
                labels = ", ".join(protocol.labels)
                lines.append(f"| {protocol.name} | {labels} | {counts} | {protocol.description} |")
    return "\n".join(lines)


def preparing() -> str:
    """Time and memory of preparing a corpus."""
    result = json.loads(PREPARE.read_text(encoding="utf-8"))
    peaks = result["peak_memory_mb"]
    memory = ", ".join(f"{way} {sum(peak.values())}" for way, peak in peaks.items())
    return (
        f"{result['clips']:,} clips of {result['seconds_a_clip']:g} s (AAC in mp4, to 16 kHz wav), medians on"
        f" {result['machine']}: two jobs are {result['jobs_2_is_faster_by']:.2f} times as fast as one;"
        f" finding all of it done takes {result['resume_s']:.1f} s; reading the corpus"
        f" {max(result['read_s']):.2f} s. Peak memory of the command and one decoder in MB: {memory}."
    )


def results(folder: Path = RESULTS) -> str:
    """Tables of the measured scores, corpus by corpus in the order of the files' names.

    A file holds one corpus; a score is `{"mean": …, "sd": …}` as `mister-e evaluate` writes it (no `sd` for
    one run), in percent but for `ece`::

        {"corpus": "MELD-7", "turns": {"validation": 1109, "test": 2610},
         "embeddings": "what the models saw, in words",
         "rows": [{"model": "mixture", "variant": "tuned", "seeds": [0, 1, 2, 3, 4],
                   "validation": {"weighted_f1": …},
                   "test": {"weighted_f1": …, "accuracy": …, "macro_f1": …, "ece": …}}],
         "published": [{"system": "MiSTER-E", "weighted_f1": 69.5, "differs": "about 15 B parameters"}]}

    `variant` and `published` may be left out; `seeds` is null where no seed changes anything. The row that is
    best on validation is bold: test decides nothing.

    :param folder: holds the files.
    :raises ValueError: a file lacks a field; both are named.
    """
    parts = []
    for path in sorted(folder.glob("*.json")):
        try:
            parts.append(_corpus(json.loads(path.read_text(encoding="utf-8"))))
        except KeyError as error:
            raise ValueError(f"{path}: no field {error}") from None
    return "\n\n".join(parts)


def _corpus(result: dict[str, Any]) -> str:
    """Heading and tables of one corpus."""
    turns, rows = result["turns"], result["rows"]
    best = max(rows, key=lambda row: row["validation"]["weighted_f1"]["mean"])
    lines = [
        f"### {result['corpus']}",
        "",
        f"{turns['validation']:,} turns of validation, {turns['test']:,} of test. {result['embeddings']}",
        "",
        "| model | seeds | validation: weighted F1 | test: weighted F1 | accuracy | macro F1 | ECE |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        name = ", ".join(filter(None, [row["model"], row.get("variant")]))
        cells = [name, "-" if row["seeds"] is None else str(len(row["seeds"]))]
        scores = [row["validation"]["weighted_f1"]]
        scores += [row["test"][score] for score in ("weighted_f1", "accuracy", "macro_f1", "ece")]
        cells += [*map(mean_std_text, scores[:-1]), mean_std_text(scores[-1], 3)]
        lines.append("| " + " | ".join(f"**{cell}**" if row is best else cell for cell in cells) + " |")
    if classes := result.get("classes"):
        listed = ", ".join(f"{label} {mean_std_text(scores['f1'])}" for label, scores in classes.items())
        lines += ["", f"F1 of the mixture by class: {listed}."]
    if robustness := result.get("robustness"):
        rates = [row["rate"] for row in robustness if row["lost"] == "text"]
        lines += ["", "| turns that lose | " + " | ".join(f"{rate:.0%}" for rate in rates) + " |"]
        lines.append("|---" * (1 + len(rates)) + "|")
        for lost in dict.fromkeys(row["lost"] for row in robustness):
            cells = [mean_std_text(row["test"]) for row in robustness if row["lost"] == lost]
            lines.append(f"| {lost} | " + " | ".join(cells) + " |")
    if published := result.get("published"):
        lines += ["", "| published | test: weighted F1 | what differs |", "|---|---|---|"]
        lines += [f"| {row['system']} | {row['weighted_f1']:.1f} | {row['differs']} |" for row in published]
    return "\n".join(lines)


def stage1() -> str:
    """Table of the text encoders' own scores."""
    results = json.loads(STAGE1.read_text(encoding="utf-8"))
    lines = [
        "| corpus | encoder of words | seeds | validation: weighted F1 | test: weighted F1 |",
        "|---|---|---|---|---|",
    ]
    for corpus, rows in results.items():
        for name, row in rows.items():
            scores = [row[f"{split}_weighted_f1"] for split in ("validation", "test")]
            cells = [mean_std_text(score) for score in scores]
            lines.append(f"| {corpus} | {name} | {len(row['seeds'])} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def choices() -> str:
    """Table of the validation scores of single changes to the recipe."""
    rows = json.loads(CHOICES.read_text(encoding="utf-8"))
    corpora = [name for name in next(iter(rows.values())) if name != "changes"]
    lines = ["| what is changed | " + " | ".join(f"{name}, validation" for name in corpora) + " |"]
    lines.append("|---" * (1 + len(corpora)) + "|")
    for change, row in rows.items():
        fields = ", ".join(f"`{field}`" for field in row["changes"])
        lines.append(
            f"| {change}{': ' + fields if fields else ''} | "
            + " | ".join(mean_std_text(row[name]) if name in row else "-" for name in corpora)
            + " |"
        )
    return "\n".join(lines)


def encoders() -> str:
    """Table of the speed and memory of stage 1."""
    results = json.loads(ENCODERS.read_text(encoding="utf-8"))
    lines = [
        f"On {results['machine']}, MELD; medians of {results['runs']} runs, epochs once.",
        "",
        "| what | measured | peak memory, GB |",
        "|---|---|---|",
    ]
    for name, row in results.items():
        if not isinstance(row, dict):
            continue
        if "epoch_s" in row:
            cost = f"{row['epoch_s']:.0f} s an epoch"
        elif "cpu_ms_a_second" in row:
            cost = f"{row['cpu_ms_a_second']:.1f} ms of CPU a second of sound"
        else:
            cost = (
                f"{row['batched_turns_a_second']:.0f} turns/s,"
                f" {row['batched_is_faster_by']:.1f} times the rate of one at a time;"
                f" {row['as_the_recipe_turns_a_second']:.0f} turns/s with its history"
            )
        lines.append(f"| {name} | {cost} | {row['peak_rss_gb']:.1f} |")
    return "\n".join(lines)


def stage2() -> str:
    """Speed of a training step of the mixture, and memory of a very long conversation."""
    result = json.loads(STAGE2.read_text(encoding="utf-8"))
    step, long, memory = result["step"], result["long"], result["memory_gb"]
    rates, ratios = step["real_turns_per_second"], step["ratio_to_plain"]
    fraction = step["float32_fraction_of_gemm"]["all gradients"]
    shortest, longest = min(step["lengths"]), max(step["lengths"])
    agreement = long["windows"][str(long["window"])]["agreement"]
    lines = [
        f"One training step of the published sizes, {len(step['lengths'])} conversations of {shortest} to"
        f" {longest} turns, {result['machine']['threads']} threads:",
        "",
        "| way | real turns a second | times the plain way |",
        "|---|---|---|",
    ]
    for way, rate in rates.items():
        lines.append(f"| {way} | {rate:.0f} | {ratios[way]:.2f} |")
    lines += [
        "",
        "*Plain* pads each batch to its longest conversation and computes every position. In float32 ours"
        f" reaches {fraction:.0%} of what one large float32 matrix product reaches here"
        f" ({step['gemm_gflops']:.0f} GFLOP/s), counted on real turns.",
        "",
        f"A conversation of {long['turns']:,} turns takes {memory['windows of 1024']:.2f} GB over its"
        f" embeddings in windows of 1,024 turns, {memory['whole']:.2f} GB whole; {agreement:.1%} of the turns"
        " get the same emotion.",
    ]
    return "\n".join(lines)


def voices() -> str:
    """Tables of scores on unseen voices and under changed conditions."""
    result = json.loads(VOICES.read_text(encoding="utf-8"))
    robust, cross = result["robust"], result["cross"]
    lines = [
        "| clips of unseen voices, each alone | RAVDESS, weighted F1 | label kept | nEMO, weighted F1 |"
        " label kept |",
        "|---|---|---|---|---|",
    ]
    for name, row in robust["conditions"].items():
        cells = [
            f"{row[corpus]['weighted_f1']:.1f} | {row[corpus]['kept']:.0f} %"
            for corpus in ("ravdess", "nemo")
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", f"Mean drop over the changed conditions: {robust['mean_drop']:.1f} points.", ""]
    lines += [
        "| trained on one acted corpus alone, scored on all of another | clips | emotions | each alone |"
        " as one recording |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {row['clips']:,} | {len(row['emotions'])} | {row['alone']:.1f} | {row['together']:.1f} |"
        for name, row in cross.items()
    ]
    lines += [
        "",
        "| trained without a corpus, scored on its training and validation voices | clips | emotions |"
        " each alone | as one recording |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {row['clips']:,} | {', '.join(row['emotions'])} | {row['alone']:.1f} |"
        f" {row['together']:.1f} |"
        for name, kinds in result["unseen"].items()
        for row in kinds.values()
    ]
    return "\n".join(lines)


def recognition() -> str:
    """Table of what is shown of recognised words, recogniser by recogniser, condition by condition."""
    lines = [
        "| recogniser | turns of the other speakers | turns | no words | marked | shown | WER of shown |"
        " right, hidden | wrong, hidden |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for recogniser, path in RECOGNITION.items():
        result = json.loads(path.read_text(encoding="utf-8"))
        for name, row in (result["conditions"] | {"all": result["all"]}).items():
            shares = ("no words", "uncertain", "shown", "wer_shown")
            cells = ["-" if row[share] is None else f"{row[share]:.0f} %" for share in shares]
            cells += [
                f"{row[f'{kind}_hidden']:.0f} % of {row[kind]}" if row[kind] else "-"
                for kind in ("right", "wrong")
            ]
            lines.append(f"| {recogniser} | {name} | {row['turns']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def demo() -> str:
    """Output of `make demo`."""
    command = [
        str(Path(sys.executable).with_name("mister-e")),
        "analyze",
        "samples/conversation.flac",
        "--quiet",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return f"```text\n{done.stdout.rstrip()}\n```"


def put_part(text: str, part: str, content: str) -> str:
    """Put content between the two comments of a part.

    :raises ValueError: the part's comments are not there.
    """
    pattern = re.compile(rf"(<!-- {part}.*?-->\n).*?(<!-- /{part} -->)", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"no <!-- {part} --> … <!-- /{part} --> in the text")
    return pattern.sub(lambda match: f"{match[1]}{content}\n{match[2]}", text, count=1)


def main() -> int:
    """Read the command line and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="change nothing, fail where a part is out of date"
    )
    arguments = parser.parse_args()
    pages = {
        README: {"models": models(), "speed": speed()},
        DATA: {"protocols": protocols(), "preparing": preparing()},
    }
    if RESULTS_PAGE.is_file():
        pages[RESULTS_PAGE] = {"stage 1": stage1(), "results": results(), "choices": choices()}
    if ENCODERS.is_file():
        pages[TRAIN_PAGE] = {"encoders": encoders(), "stage 2": stage2()}
    if VOICES.is_file():  # all parts of it
        pages[RESULTS_PAGE]["voices"] = voices()
    if all(path.is_file() for path in RECOGNITION.values()):
        pages[RESULTS_PAGE]["recognition"] = recognition()
    if CUTTING.is_file():
        pages[RESULTS_PAGE]["cutting"] = cutting_tables.cutting(json.loads(CUTTING.read_text("utf-8")))
    if CONFIDENCE.is_file():
        pages[RESULTS_PAGE]["confidence"] = cutting_tables.confidence(
            json.loads(CONFIDENCE.read_text("utf-8"))
        )
    if not arguments.check:
        pages[README]["demo output"] = demo()
    stale = 0
    for page, parts in pages.items():
        before = after = page.read_text(encoding="utf-8")
        for part, content in parts.items():
            after = put_part(after, part, content)
        stale += before != after
        if not arguments.check:
            write_text(page, after)
    return int(arguments.check and stale > 0)


if __name__ == "__main__":
    sys.exit(main())
