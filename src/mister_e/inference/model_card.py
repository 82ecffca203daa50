"""The model card: what a folder's `config.json` says, told to people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mister_e.experts import EXPERTS
from mister_e.files import write_text
from mister_e.inference.model_folder import FolderConfig, read_config

#: What the bundled bases are.
BASES = {
    "minilm-l6": "MiniLM-L6, Apache-2.0",
    "smollm2-135m": "SmolLM2-135M-Instruct, Apache-2.0, an LLM of 135 million parameters",
}

_HEAD = """---
license: other
license_name: research-non-commercial
language: [{languages}]
library_name: mister-e
pipeline_tag: audio-classification
tags: [emotion-recognition-in-conversation, speech, text, mixture-of-experts]
metrics: [f1]
---

# {name}

{description}.
It tells, turn by turn, which of {count} emotions is heard and read: {labels}.
It never sees who speaks.

```python
from mister_e import Pipeline

analysis = Pipeline.from_pretrained("{name}")("call.wav")
```
"""

_DATA = """
## What it was trained on

* **Words**: the text encoder ({base}) was fine-tuned{how} on MELD's training split{more};
  {reading}.
* **Voices**: the layers of Whisper tiny.en (MIT), each with a trained update of rank {rank}, are weighted and
  pooled, taken relative to the recording, and joined with eight prosody statistics. All of this was trained
  on acted clips of RAVDESS (English) and nEMO (Polish), on vocal bursts of EmoGator, on read speech of
  LibriSpeech taken as neutral, each changed at random as rooms, microphones, lines and codecs do, and on the
  statistics (not the sound) of MELD's clips. Whole voices were held out for validation and test.
* **Mixture**: trained on MELD's conversations as text alone, with MELD's statistics, and with acted
  clips put in place of MELD's own sound: of the turn's emotion or of any. Clips without words were shown
  too, each alone, and readers as recordings in which all is neutral. Turns of an emotion that is rare in
  MELD weigh more, and neutral ones less. **No recording with both the words and the sound of a real
  conversation was used**: how the experts are weighed on real calls is extrapolated.

Epochs and settings were chosen on validation; how clips are put in company, and how much read speech there
is, by leaving one acted corpus out of the training and scoring on its training and validation voices. Each
full run of the training script scores the test splits at its end, with one seed; no choice was made by those
scores. One thing was: that sound is taken relative to the recording was decided in trials that were trained
without nEMO and scored on 800 of its clips, some of its test voice among them.
"""

#: What is said where EmoryNLP was learned too.
_EMORYNLP = """
EmoryNLP is of MELD's series, and its labels are taken for MELD's; scenes with a telling turn of MELD's
validation or test split were left out. It costs a point or two on MELD's validation split, and was taken
because it gains several on that of IEMOCAP, on which nothing is trained.
"""

_LIMITS = """
## Calibration

Confidence is divided by temperatures fitted on validation: for turns with words alone, for voices alone, and
for both; the last on MELD's words with their statistics and on the synthetic pairs above, since no corpus
here holds both.

## Limits

* A turn whose confidence is below {uncertain:.0%} is marked as uncertain: it is wrong more often than right.
* The emotion that is *expressed*, as an annotator of a sitcom or an actor's script would name it: no
  fact about what a person feels. Do not decide anything about a person by it.
* A clip that is a recording of its own tells less than a turn among others: the mean and spread of the
  recording are what its voices, room and microphone are told by. Compare the rows *as one recording*.
* Of corpora that it was not trained on, expect much less than of those in the table; `benchmarks/voices.py`
  measures that. A clip alone, in a voice and a language like none of the corpora, may come out neutral
  whatever it expresses. Voices that are not acted, children and old people were not tested.
* Fear and disgust are rare in MELD and the weakest classes. Irony is mostly missed.
* Inferring emotions at work and in schools is restricted by law in the European Union. Not a medical
  device.

## Terms

{terms}.
"""


def write_card(folder: Path) -> None:
    """Write the `README.md` of a model folder from its configuration.

    :param folder: a whole model folder.
    """
    config = read_config(folder)
    head = _HEAD.format(
        languages=", ".join(config.languages),
        name=config.name,
        description=config.description,
        count=len(config.labels),
        labels=", ".join(config.labels),
    )
    terms = config.terms[:1].upper() + config.terms[1:]
    words = _words(json.loads((folder / "text" / "encoder.json").read_text(encoding="utf-8")))
    both = "EmoryNLP" in config.training["text"]["corpora"]
    words["more"] = " and on scenes of EmoryNLP" if both else ""
    data = _DATA.format(**words, rank=config.speech_encoder.rank) + (_EMORYNLP if both else "")
    write_text(
        folder / "README.md",
        head
        + data
        + _scores(config)
        + _LIMITS.format(terms=terms, uncertain=config.calibration.uncertain_below),
    )


def _words(text: dict[str, Any]) -> dict[str, str]:
    """Say how the words were learned.

    :param text: the `encoder.json` of the text encoder.
    """
    config = text["config"]
    lora, history, most = config.get("lora"), config.get("history", 0), config.get("turns_per_prompt", 1)
    return {
        "base": BASES.get(config["base"], config["base"]),
        "how": f", by LoRA of rank {lora['rank']} (the base itself is not in this folder),"
        if lora
        else ", whole,",
        "reading": f"a turn is read after {history} to {history + most - 1} earlier ones of its conversation"
        if history
        else "each turn is read alone",
    }


def _scores(config: FolderConfig) -> str:
    lines = [
        "",
        "## Scores on the test splits",
        "",
        "Weighted F1 with its 95 % interval (conversations, or voices, drawn again), of each expert too,"
        " accuracy and macro F1 in percent; ECE is the expected calibration error, and sure the mean"
        " confidence, 0 to 1. The gate column is the mean weight of speech, text and fusion.",
        "",
        "| situation | turns | weighted F1 | speech / text / fusion | accuracy | macro F1 |"
        " ECE | sure | gate |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in config.scores.items():
        gate = " / ".join(f"{weight:.2f}" for weight in row["gate"])
        interval = " to ".join(f"{edge:.1f}" for edge in row["interval"]) if "interval" in row else "-"
        experts = " / ".join(
            f"{row['experts'][one]:.1f}" if one in row["experts"] else "-" for one in EXPERTS
        )
        lines.append(
            f"| {name} | {row['turns']:,} | {row['weighted_f1']:.1f} ({interval}) | {experts} |"
            f" {row['accuracy']:.1f} | {row['macro_f1']:.1f} | {row['ece']:.3f} | {row['confidence']:.2f} |"
            f" {gate} |"
        )
    lines += ["", "F1 by emotion:", "", "| situation | " + " | ".join(config.labels) + " |"]
    lines.append("|---" * (1 + len(config.labels)) + "|")
    for name, row in config.scores.items():
        cells = [f"{row['f1'][label]:.1f}" if label in row["f1"] else "-" for label in config.labels]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "*text*: MELD's words alone. *text and statistics*: with the statistics of MELD's clips."
        " *text and acted clips*: MELD's words paired with acted clips of unseen voices, which are chosen by"
        " the turn's label 6 times in 10: the score shows that the mixture uses a voice, and is no result on"
        " MELD. *pairs that agree* and *that disagree*: the same with clips of the turn's emotion, or of any"
        " other; what counts as right is the label of the words. *voice*: clips of unseen voices, each a"
        " recording of its own or all of a corpus as one. Of one acted corpus, the choice is among the"
        " emotions that it has; of read speech, which is all neutral, it is free, and the accuracy is the"
        " share that comes out neutral. ECE and sure are of the free choice everywhere.",
    ]
    return "\n".join(lines) + "\n"
