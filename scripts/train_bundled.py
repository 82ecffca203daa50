"""Train the bundled models by the public verbs: `python scripts/train_bundled.py --data DIR`.

DIR holds `erc/meld.csv`, `erc/emorynlp/` and the folders of clips `ravdess/`, `nemo/`, `emogator/` and
`librispeech/`, each with a `manifest.csv`, and `crema_d/` for changes of voice. How the models are made is in
`recipes/mini.yaml`, `recipes/mini-llm.yaml` and `recipes/voice-changes.yaml`. Every step goes on where it
was, so that the script may be stopped and run again; test splits are scored once, when all is chosen, for the
rows of the model cards.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

NAMES = ("mini", "mini-llm")
RECIPES = Path(__file__).resolve().parents[1] / "recipes"
#: Corpora of clips, and how their labels and lengths become those of the others. The read speech of
#: LibriSpeech is cut to about the length of acted clips, so that length does not tell the corpus.
CLIPS: dict[str, Sequence[str]] = {
    "ravdess": (),
    "nemo": (),
    "emogator": (),
    "librispeech": ("--piece-seconds", "3", "--max-pieces", "3"),
}
#: What a label of the clips means, where its name does not tell it.
MEANINGS = {"librispeech": "unlabelled_read=neutral"}
#: Columns of MELD's table that tell about its sound: `mister_e.audio.prosody.STATISTICS`.
FEATURES = "duration,avg_*,intensity_variation,pitch_*,articulation_rate,mean_hnr"
LABELS = "neutral,joy,sadness,anger,surprise,fear,disgust"
#: Of all runs.
SEED = 0


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=NAMES, help=f"which models; default: {', '.join(NAMES)}")
    parser.add_argument("--data", type=Path, required=True, help="folder with erc/, ravdess/, nemo/, …")
    parser.add_argument("--work", type=Path, default=Path("runs/bundle"), help="keeps every step")
    arguments = parser.parse_args()
    data, work = arguments.data, arguments.work
    prepare(data, work / "corpora")
    # both models hear by the same encoder
    verb("finetune", RECIPES / "mini.yaml", "--part", "speech", *corpora_of(work), "-o", work / "voice")
    voice = work / "voice" / f"seed-{SEED}"
    voices = ("finetune", RECIPES / "voice-changes.yaml", "--part", "voices", "--data", data)
    verb(*voices, "--seed", SEED, "-o", work / "voice-changes", "--test")
    for name in CLIPS:
        store = work / "stores" / name
        verb("embed", "--data", work / "corpora" / name, "--speech", voice, "-o", store)
    for name in arguments.names:
        train(name, data, work, voice)


def prepare(data: Path, corpora: Path) -> None:
    """Prepare the corpora that are not there yet.

    :param data: the releases.
    :param corpora: gets a folder a corpus.
    """

    def once(kind: str, source: Path, name: str, *options: object) -> None:
        if not (corpora / name / "corpus.json").is_file():
            verb("prepare", kind, source, corpora / name, *options)

    meld = ("--protocol", "MELD-7", "--labels", LABELS, "--features", FEATURES)
    once("table", data / "erc" / "meld.csv", "meld", *meld)
    once("emorynlp", data / "erc" / "emorynlp", "emorynlp", "--without", corpora / "meld")
    for name, options in CLIPS.items():
        meaning = ("--label", MEANINGS[name]) if name in MEANINGS else ()
        once("clips", data / name, name, *meaning, *options)


def train(name: str, data: Path, work: Path, voice: Path) -> None:
    """Train a model on what was prepared, and write its folder with the scores in its card.

    :param name: of the model and its recipe.
    :param data: the releases, for the clips that are scored.
    :param work: gets `NAME/text`, `NAME/store`, `NAME/run`, `NAME/scores` and `models/NAME`.
    :param voice: the run of the speech encoder.
    """
    recipe, own, model = RECIPES / f"{name}.yaml", work / name, work / "models" / name
    verb("finetune", recipe, "--part", "text", *corpora_of(work), "-o", own / "text")
    encoders = ("--text", own / "text" / f"seed-{SEED}", "--speech", voice)
    verb("embed", "--data", work / "corpora" / "meld", *encoders, "-o", own / "store")
    voices = [word for corpus in CLIPS for word in ("--voices", work / "stores" / corpus)]
    paired = ("--data", own / "store", *voices, "--speech", voice)
    verb("train", recipe, *paired, "--seed", SEED, "-o", own / "run")
    run = own / "run" / f"seed-{SEED}"
    head = ("--voices-head", work / "voice-changes" / f"seed-{SEED}")
    export = ("export", run, *encoders, *head, "--name", name, "-o", model)
    verb(*export)
    rows = score(model, run, paired, data, own / "scores")
    verb(*export, *(word for row, path in rows.items() for word in ("--scores", f"{row}={path}")))
    calibrate(model, data, own / "confidence")


def calibrate(model: Path, data: Path, work: Path) -> None:
    """Fit what the notes of turns do to confidence, and put it into a model folder.

    :param model: the model folder; crosstalk is fitted where it has what tells changes of voice.
    :param data: the releases.
    :param work: keeps what was cut, and gets the scores.
    """
    parts = ("wordless", "crosstalk") if (model / "voices").is_dir() else ("wordless",)
    script = Path(__file__).resolve().parents[1] / "benchmarks" / "confidence.py"
    options = ("--model", model, "--parts", *parts, "--work", work, "--write", model)
    program(sys.executable, script, "--data", data, *options, "--out", work / "confidence.json")


def score(model: Path, run: Path, paired: Sequence[object], data: Path, scores: Path) -> dict[str, Path]:
    """Score the test splits, unless that was done since the training.

    :param model: the model folder.
    :param run: the run that it came from.
    :param paired: options that name the store, the voices and their encoder.
    :param data: the releases.
    :param scores: gets what `mister-e evaluate` writes.
    :return: row of the card to its JSON.
    """
    trained = (run / "result.json").stat().st_mtime

    def done(path: Path) -> bool:
        return path.is_file() and path.stat().st_mtime > trained

    conditions = scores / "conditions"
    rows = {
        row: conditions / f"evaluation-test-{file}.json"
        for row, file in {
            "text": "text",
            "text and statistics": "text-and-statistics",
            "text and acted clips, 60 % of the turn's label": "text-and-acted-clips-60-of-the-turn-s-label",
            "voice": "voice",
            "pairs that agree (the words' label)": "pairs-that-agree-the-words-label",
            "pairs that disagree (the words' label)": "pairs-that-disagree-the-words-label",
        }.items()
    }
    if not all(done(path) for path in rows.values()):
        verb("evaluate", run, *paired, "--split", "test", "-o", conditions)
    for name, options in CLIPS.items():
        meaning = ("--map", MEANINGS[name]) if name in MEANINGS else ()
        for how, alone in ((name, ("--alone",)), (f"{name}, as one recording", ())):
            out = scores / how.replace(", ", "-").replace(" ", "-")
            rows[f"voice: {how}"] = out / "evaluation-test-speech-only.json"
            if not done(rows[f"voice: {how}"]):
                clips = ("--data", data / name, "--split", "test", "--mode", "speech-only")
                verb("evaluate", "--model", model, *clips, *alone, *meaning, *options, "-o", out)
    return rows


def corpora_of(work: Path) -> tuple[object, ...]:
    """Options that both encoders are fine-tuned with."""
    return "--data", work / "corpora", "--seed", SEED


def verb(*words: object) -> None:
    """Run a verb of mister-e, and stop where it fails."""
    print("mister-e", *words, flush=True)
    program(sys.executable, "-m", "mister_e", *words)


def program(*words: object) -> None:
    """Run a program, and stop where it fails."""
    # no shell, and all words are ours or paths of the one who runs this
    code = subprocess.run([str(word) for word in words], check=False).returncode  # noqa: S603
    if code:
        sys.exit(code)


if __name__ == "__main__":
    main()
