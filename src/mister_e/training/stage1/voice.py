"""The voices that a bundled model is trained on: acted clips, bursts and readers, split by whole voices."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from mister_e.encoders.speech.frontend import centred
from mister_e.encoders.speech.whisper import WhisperEncoder, WhisperEncoderConfig
from mister_e.files import write_text
from mister_e.labels import MELD_EMOTIONS
from mister_e.training.runs import check_run_config
from mister_e.training.runtime import seed_everything
from mister_e.training.settings import FinetuneSettings
from mister_e.training.stage1.acted_clips import hear_clips
from mister_e.training.stage1.acted_speech import PLAIN, LabelledSound, SamplingConfig, train_speech
from mister_e.training.turns import TableConversation, by_voice, read_clips

#: Folders of the data, each with a manifest.
CORPORA = ("ravdess", "nemo", "emogator", "librispeech")
#: How often a corpus is drawn. Read speech is all neutral: the more of it there is, the more comes out so
#: of voices that are like none of these corpora.
SHARES: Mapping[str, float] = {"ravdess": 0.34, "nemo": 0.36, "emogator": 0.27, PLAIN: 0.03}

DRAWS = SamplingConfig(shares=SHARES)


def hear(data: Path, work: Path, corpora: Sequence[str] = CORPORA) -> dict[str, list[LabelledSound]]:
    """Hear every clip, and split them by whole voices.

    :param data: holds the folders of the corpora.
    :param work: finished pieces lie there.
    :return: split to clips.
    """
    splits: dict[str, list[LabelledSound]] = {"train": [], "validation": [], "test": []}
    for corpus in corpora:
        for split, clips in by_voice(read_clips(data / corpus)).items():
            splits[split] += hear_clips(clips, work / "heard" / corpus / split)
    return splits


def statistics_alone(conversations: Sequence[TableConversation]) -> list[LabelledSound]:
    """Turns of a table as statistics without sound; those whose clip is missing are left out."""
    return [
        LabelledSound(None, row, label, "meld", centred=True)
        for one in conversations
        for row, label, present in zip(centred(one.statistics), one.labels, one.heard, strict=True)
        if present
    ]


def train_voice(
    config: WhisperEncoderConfig,
    settings: FinetuneSettings,
    train: Sequence[LabelledSound],
    validation: Sequence[LabelledSound],
    run: Path,
    *,
    draws: SamplingConfig = DRAWS,
) -> tuple[WhisperEncoder, list[dict[str, float]]]:
    """Train the speech encoder, or load it where that is done.

    :param draws: what an epoch sees.
    :param run: folder of the run; gets `encoder/` and `history.json` at the end.
    :return: the encoder, in the half precision that a model folder keeps, and one row an epoch.
    :raises InputError: the folder holds a run of another encoder, other settings or other clips.
    """
    clips = hashlib.sha256()
    for one in [*train, *validation]:
        length = 0 if one.samples is None else len(one.samples)
        clips.update(f"{one.group} {one.voice} {one.label} {length}\n".encode())
    check_run_config(
        run,
        {
            "part": "voice",
            "encoder": config.model_dump(mode="json"),
            "finetune": settings.model_dump(mode="json"),
            "draws": asdict(draws),
            "clips_sha256": clips.hexdigest(),
        },
    )
    history = run / "history.json"
    if not history.is_file():
        seed_everything(settings.seed)
        encoder = WhisperEncoder.from_base(config)
        neutral = MELD_EMOTIONS.index("neutral")
        rows = train_speech(encoder, train, validation, settings, run, draws=draws, neutral=neutral)
        encoder.save(run / "encoder")
        write_text(history, json.dumps(rows, indent=1) + "\n")
    trained = WhisperEncoder.load(run / "encoder").half().float().eval()
    return trained, json.loads(history.read_text(encoding="utf-8"))
