"""Train the speech encoder of a bundled model on acted clips (stage 1, speech)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mister_e.audio.format import SAMPLE_RATE
from mister_e.encoders.speech.batching import collate
from mister_e.encoders.speech.frontend import (
    MIN_SECONDS,
    AudioFeatures,
    SpeechFrontend,
    centred,
    trim_silence,
)
from mister_e.encoders.speech.whisper import WhisperEncoder
from mister_e.errors import MisterEError
from mister_e.metrics.classification import weighted_f1
from mister_e.training.batching import length_bucketed
from mister_e.training.loop import Loop
from mister_e.training.losses import focal_loss
from mister_e.training.settings import FinetuneSettings
from mister_e.training.stage1.augmentation import augmented
from mister_e.training.stage1.recording_simulation import Recordings
from mister_e.training.stage1.task import adamw
from mister_e.training.weight_averaging import WeightAverage

#: The corpus of read speech: all neutral, so its score is the share that is left undramatised.
PLAIN = "librispeech_subset"


@dataclass(frozen=True)
class LabelledSound:
    """A clip, or the statistics of one.

    :param samples: int16 `[N]` at `SAMPLE_RATE`, cut to its sound; None = statistics alone.
    :param statistics: float32 `[8]`; NaN = undefined.
    :param label: position in the label set.
    :param group: the corpus it came from: balances training, and scores are by group.
    :param voice: who is heard: only to split and to score by voices.
    :param gender: "women" or "men", where the corpus tells: only to score by it.
    :param centred: whether the intensity is relative to its recording already, and not as measured.
    """

    samples: NDArray[np.int16] | None
    statistics: NDArray[np.float32]
    label: int
    group: str
    voice: str = ""
    gender: str = ""
    centred: bool = False

    @property
    def sound(self) -> NDArray[np.float32]:
        """Its samples, float32 `[N]` from -1 to 1; none where statistics are all there is."""
        if self.samples is None:
            return np.zeros(0, np.float32)
        return self.samples.astype(np.float32) / np.float32(32767)


@dataclass(frozen=True)
class SamplingConfig:
    """What an epoch of training sees.

    Most turns that are drawn have sound: a corpus by its share, an emotion of it, a clip of that. The others
    are statistics alone, as tables bring them.

    :param clips: with sound, in an epoch.
    :param batch: clips in a batch.
    :param shares: of the corpora.
    :param tables: turns of statistics alone for each clip.
    :param shuffled: share of clips that are cut in pieces of 0.25 to 0.7 s and put together in any order:
        the words are gone, the voice is not.
    :param most: seconds of a clip that are heard.
    :param other_corpus_fraction: see `Recordings`.
    """

    clips: int = 4080
    batch: int = 48
    shares: Mapping[str, float] | None = None
    tables: float = 0.25
    shuffled: float = 0.5
    most: float = 4.0
    other_corpus_fraction: float = 0.4


def train_speech(
    encoder: WhisperEncoder,
    train: Sequence[LabelledSound],
    validation: Sequence[LabelledSound],
    settings: FinetuneSettings,
    run: Path,
    *,
    draws: SamplingConfig | None = None,
    neutral: int | None = None,
) -> list[dict[str, float]]:
    """Train adapters, pooling, projection and classifier; a run that was killed is continued.

    :param encoder: changed in place.
    :param train: clips, and statistics without one.
    :param validation: to choose the epoch by the mean of the groups' scores.
    :param settings: how.
    :param run: folder of the run: `log.jsonl`, `checkpoint/`.
    :param draws: what an epoch sees; None = the defaults.
    :param neutral: position of the emotion that most turns of a call have.
    :return: one row an epoch; the kept one has the highest `validation_weighted_f1`.
    """
    task = _SpeechTraining(encoder, train, validation, settings, draws or SamplingConfig(), neutral)
    loop = Loop(task, settings, run, average=WeightAverage(settings.ema, None))
    if loop.accelerator.num_processes > 1:
        raise MisterEError("the voice is trained by one process: recordings are drawn from what it has seen")
    return list(loop.fit().history)


class _SpeechTraining:
    """The speech encoder and its clips, as the loop wants them."""

    name = "speech"

    def __init__(
        self,
        encoder: WhisperEncoder,
        train: Sequence[LabelledSound],
        validation: Sequence[LabelledSound],
        settings: FinetuneSettings,
        draws: SamplingConfig,
        neutral: int | None,
    ) -> None:
        self.encoder, self.train, self.settings, self.draws = encoder, train, settings, draws
        self.model: nn.Module = encoder
        self.front_end = SpeechFrontend()
        self.groups = sorted({one.group for one in train if one.samples is not None})
        self.cells: dict[str, dict[int, list[int]]] = {}
        for position, one in enumerate(train):
            self.cells.setdefault(one.group, {}).setdefault(one.label, []).append(position)
        classes = encoder.config.classes
        self.recordings = Recordings(
            len(self.groups),
            classes,
            encoder.pool.width,
            neutral,
            other_corpus_fraction=draws.other_corpus_fraction,
        )
        encoder.fit_statistics(torch.from_numpy(np.concatenate([_alone(one) for one in train])))
        self.validation = Judged(encoder, self.front_end, validation)

    def optimizer(self) -> torch.optim.Optimizer:
        """Make AdamW."""
        return adamw(self.encoder, self.settings)

    def batches(self, epoch: int) -> list[list[int]]:
        """Draw the clips of an epoch, and bring those of like length together."""
        random = np.random.default_rng((self.settings.seed, epoch))
        shares = np.array([(self.draws.shares or {}).get(group, 1.0) for group in self.groups])
        tables = [group for group in self.cells if group not in self.groups]
        chosen = random.choice(self.groups, self.draws.clips, p=shares / shares.sum())
        clips = [self._draw(group, random) for group in chosen]
        lengths = [len(self.train[i].sound) for i in clips]
        batches = length_bucketed(lengths, self.draws.batch, self.settings.seed + epoch)
        extra = round(self.draws.tables * self.draws.batch) if tables else 0
        return [
            [clips[i] for i in batch] + [self._draw(random.choice(tables), random) for _ in range(extra)]
            for batch in batches
        ]

    def batch_weight(self, batch: Sequence[int]) -> float:
        """Count every turn alike."""
        return float(len(batch))

    def loss(self, model: Any, batch: Sequence[int], device: Any, rng_key: tuple[int, ...]) -> Tensor:
        """Classify augmented clips, each in a random company, and statistics alone."""
        random = np.random.default_rng(rng_key)
        turns = [self.train[i] for i in batch]
        mels, lengths, statistics = collate([self._shown(one, random) for one in turns])
        labels = torch.tensor([one.label for one in turns])
        half = self.settings.precision == "bfloat16"
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=half):
            pooled = self.encoder.pooled(mels.to(device), lengths)
        there = (lengths > 0).nonzero().flatten()
        mean, spread = torch.zeros_like(pooled), torch.ones_like(pooled)
        if len(there):
            corpora = torch.tensor([self.groups.index(turns[i].group) for i in there.tolist()])
            self.recordings.update(pooled.detach()[there].cpu(), corpora, labels[there])
            self.encoder.typical_mean.copy_(self.recordings.typical[0])
            self.encoder.typical_spread.copy_(self.recordings.typical[1])
            drawn = self.recordings.draw(corpora, random)
            mean[there], spread[there] = (one.to(device) for one in drawn)
        relative = self.encoder.standardised(pooled, mean, spread)
        labels = labels.to(device)
        return focal_loss(
            self.encoder.logits(self.encoder.join(relative, statistics.to(device))),
            labels,
            mask=torch.ones_like(labels, dtype=torch.bool),
            gamma=self.settings.gamma,
            label_smoothing=self.settings.label_smoothing,
        )

    def weights(self) -> Mapping[str, Tensor]:
        """All that the encoder's folder keeps, and what the recordings are drawn from."""
        return {**self.encoder.state_dict(), **self.recordings.weights()}

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take such weights."""
        self.recordings.load(weights)
        own = {name: value for name, value in weights.items() if not name.startswith("recordings.")}
        self.encoder.load_state_dict(own)

    def validate(self, accelerator: Any) -> dict[str, float]:
        """Score every group, its clips alone and in one recording; read speech is only ever alone."""
        scores = group_scores(self.validation)
        means = [
            np.mean([value for name, value in scores.items() if name.split(":")[0] == group])
            for group in {name.split(":")[0] for name in scores}
        ]
        return {**scores, "validation_weighted_f1": float(np.mean(means))}

    def _draw(self, group: str, random: np.random.Generator) -> int:
        cells = self.cells[group]
        cell = cells[sorted(cells)[random.integers(len(cells))]]
        return cell[random.integers(len(cell))]

    def _shown(self, one: LabelledSound, random: np.random.Generator) -> AudioFeatures:
        """Augment a clip and its statistics, and hear it."""
        statistics = _alone(one)[0]
        if one.samples is None:
            return AudioFeatures(None, statistics)
        statistics += random.normal(0, 0.05, len(statistics)).astype(np.float32) * np.abs(statistics)
        lost = random.random(len(statistics)) < (1.0 if random.random() < 0.3 else 0.15)
        statistics[lost] = np.nan
        sound = trim_silence(augmented(one.sound, random))
        least, most = int(MIN_SECONDS * SAMPLE_RATE), int(self.draws.most * SAMPLE_RATE)
        first = int(random.integers(max(1, len(sound) - most + 1)))
        sound = np.pad(sound[first : first + most], (0, max(0, least - len(sound))))
        mel = self.front_end.mel(sound)
        if random.random() < self.draws.shuffled:
            step = int(random.integers(25, 70))
            pieces = [mel[i : i + step] for i in range(0, len(mel), step)]
            mel = np.concatenate([pieces[i] for i in random.permutation(len(pieces))])
        return AudioFeatures(_masked(mel, random), statistics)


class Judged:
    """Clips to score an encoder by, heard once.

    :param encoder: the one that is scored.
    :param front_end: hears them.
    :param clips: those without sound are scored by their statistics.
    """

    def __init__(
        self, encoder: WhisperEncoder, front_end: SpeechFrontend, clips: Sequence[LabelledSound]
    ) -> None:
        self.encoder = encoder
        self.labels = np.array([one.label for one in clips])
        self.groups = np.array([one.group for one in clips])
        self.centred = np.array([one.centred for one in clips])
        self.heard = [_heard(one, front_end) for one in clips]

    @torch.inference_mode()
    def predictions(self, *, together: bool) -> NDArray[np.int64]:
        """Likeliest label of each clip `[N]`.

        :param together: take the clips of a group as one recording, and not each as its own.
        """
        self.encoder.eval()
        pooled = self.encoder.pool_features(self.heard)
        statistics = np.stack([turn.statistics for turn in self.heard])
        found = np.zeros(len(self.labels), np.int64)
        for group in np.unique(self.groups):
            rows = np.flatnonzero(self.groups == group)
            for part in [rows] if together else rows[:, None]:
                embedded = self._embedded(pooled[part], statistics[part], part)
                found[part] = self.encoder.logits(embedded).argmax(-1).cpu().numpy()
        return found

    def _embedded(self, pooled: Tensor, statistics: NDArray[np.float32], part: NDArray[np.int64]) -> Tensor:
        if not self.centred[part].all():
            return self.encoder.embed_pooled(pooled, statistics)
        device = self.encoder.missing_sound.device
        relative = self.encoder.relative(pooled.to(device))
        return self.encoder.join(relative, torch.from_numpy(statistics).to(device))


def group_scores(judged: Judged) -> dict[str, float]:
    """Weighted F1 of each group, 0 to 100: its clips each alone, and, as `group: together`, as one recording.

    Of read speech, the share that comes out neutral.
    """
    alone, together = judged.predictions(together=False), judged.predictions(together=True)
    scores = {}
    for group in np.unique(judged.groups):
        mine = judged.groups == group
        scores[str(group)] = weighted_f1(judged.labels[mine], alone[mine])
        if group == PLAIN:
            scores[str(group)] = 100 * float((judged.labels[mine] == alone[mine]).mean())
        elif not judged.centred[mine].all():
            scores[f"{group}: together"] = weighted_f1(judged.labels[mine], together[mine])
    return scores


def _heard(one: LabelledSound, front_end: SpeechFrontend) -> AudioFeatures:
    audible = len(one.sound) >= MIN_SECONDS * SAMPLE_RATE
    return AudioFeatures(front_end.mel(one.sound) if audible else None, one.statistics)


def _alone(one: LabelledSound) -> NDArray[np.float32]:
    """Statistics `[1, 8]` of a clip that is a recording of its own."""
    return one.statistics[None].copy() if one.centred else centred(one.statistics[None])


def _masked(mel: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """Hide a few bands, and a moment (Park et al. 2019)."""
    mel = mel.copy()
    if random.random() < 0.5:
        first = int(random.integers(0, mel.shape[1] - 8))
        mel[:, first : first + int(random.integers(1, 8))] = mel.mean()
    if random.random() < 0.5 and len(mel) > 40:
        first = int(random.integers(0, len(mel) - 20))
        mel[first : first + int(random.integers(1, 20))] = mel.mean()
    return mel
