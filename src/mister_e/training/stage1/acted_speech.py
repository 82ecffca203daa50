"""Train a speech encoder on corpora of single acted clips (stage 1, speech, with `sampling:`).

A clip is a recording of its own, but in use turns are taken relative to their recording: in training each
clip is standardised by a simulated recording (`recording_simulation`), and heard through a random one
(`augmentation`). Corpora and emotions are drawn evenly (`SamplingConfig`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mister_e.audio.format import SAMPLE_RATE
from mister_e.encoders.base import UtteranceEncoder
from mister_e.encoders.speech.batching import collate
from mister_e.encoders.speech.frontend import MIN_SECONDS, AudioFeatures, SpeechFrontend, trim_silence
from mister_e.encoders.speech.whisper import WhisperEncoder
from mister_e.errors import InputError, MisterEError
from mister_e.labels import LabelSet
from mister_e.metrics.classification import weighted_f1
from mister_e.progress import Progress, silent
from mister_e.training.batching import length_bucketed
from mister_e.training.loop import SCORE, Loop, Trained
from mister_e.training.losses import focal_loss
from mister_e.training.runs import process_count
from mister_e.training.settings import AugmentationConfig, FinetuneSettings, SamplingConfig
from mister_e.training.stage1.acted_clips import SpeechExample
from mister_e.training.stage1.augmentation import augment, augment_statistics, mask
from mister_e.training.stage1.recording_simulation import RecordingSimulator
from mister_e.training.stage1.task import adamw
from mister_e.training.weight_averaging import WeightAverage

#: Mel rows of a piece of a shuffled clip: shortest, and the first that is too long (10 ms each).
_SHUFFLED_ROWS = (25, 70)


def finetune_acted_speech(
    encoder: UtteranceEncoder,
    train: Sequence[SpeechExample],
    validation: Sequence[SpeechExample],
    labels: LabelSet,
    settings: FinetuneSettings,
    run: Path,
    *,
    sampling: SamplingConfig,
    augmentation: AugmentationConfig,
    progress: Progress = silent,
) -> Trained:
    """Fine-tune; keep the epoch that is best on validation. A run that was killed is continued.

    :param encoder: of kind `whisper`, changed in place.
    :param train: clips with sound, and statistics without.
    :param validation: to choose the epoch by the mean of the corpora's scores, see `corpus_scores`.
    :param labels: in the order of the classifier.
    :param settings: how.
    :param run: folder of the run: `log.jsonl`, `checkpoint/`.
    :param sampling: what an epoch sees.
    :param augmentation: how clips are changed.
    :param progress: told of optimizer steps, as stage "finetune".
    :raises InputError: the encoder is of another kind, or there is nothing to learn from or to choose by.
    :raises MisterEError: several processes were started, or the loss is no number any more.
    """
    check_single_process()
    if not isinstance(encoder, WhisperEncoder):
        raise InputError(f"sampling: is for an encoder of kind whisper, this one is {encoder.kind}")
    task = _ActedSpeech(encoder, train, validation, labels, settings, sampling, augmentation)
    average = WeightAverage(settings.ema, None)
    return Loop(task, settings, run, average=average).fit(progress)


def check_single_process() -> None:
    """Refuse several processes: each would simulate recordings from the clips that it has met alone.

    :raises MisterEError: there are several.
    """
    if process_count() > 1:
        raise MisterEError(
            "a recipe with sampling: is trained by one process, for recordings are simulated from what it has"
            " met; start it without accelerate launch"
        )


class _ActedSpeech:
    """The encoder, its clips and its scores, as the loop wants them."""

    name = "finetune"

    def __init__(
        self,
        encoder: WhisperEncoder,
        train: Sequence[SpeechExample],
        validation: Sequence[SpeechExample],
        labels: LabelSet,
        settings: FinetuneSettings,
        sampling: SamplingConfig,
        augmentation: AugmentationConfig,
    ) -> None:
        self.encoder, self.train, self.settings = encoder, train, settings
        self.sampling, self.augmentation = sampling, augmentation
        self.model: nn.Module = encoder
        self.frontend = SpeechFrontend()
        self.corpora = sorted({example.corpus for example in train if example.samples is not None})
        self.tables = sorted({example.corpus for example in train} - set(self.corpora))
        self.fractions = _fractions(self.corpora, sampling)
        #: Corpus and label to positions of examples.
        self.cells: dict[str, dict[int, list[int]]] = {}
        for position, example in enumerate(train):
            self.cells.setdefault(example.corpus, {}).setdefault(example.label, []).append(position)
        self.recordings = RecordingSimulator(
            len(self.corpora),
            len(labels),
            encoder.pool.width,
            sampling.recordings,
            _neutral(sampling, labels),
        )
        if len({example.label for example in validation}) < 2:
            raise InputError(
                "the clips of the validation split have fewer than two labels: no epoch can be chosen by them"
            )
        statistics = np.concatenate([example.centred_statistics for example in train])
        encoder.fit_statistics(torch.from_numpy(statistics))
        self.validation = ClipPredictor(encoder, self.frontend, validation)

    def optimizer(self) -> torch.optim.Optimizer:
        """Make AdamW, with another rate for what is new."""
        return adamw(self.encoder, self.settings)

    def batches(self, epoch: int) -> list[list[int]]:
        """Draw the examples of an epoch; clips of similar length come together."""
        random = np.random.default_rng((self.settings.seed, epoch))
        sampling = self.sampling
        drawn = random.choice(self.corpora, sampling.examples, p=self.fractions)
        clips = [self._draw(corpus, random) for corpus in drawn]
        lengths = [len(self.train[i].sound) for i in clips]
        batches = length_bucketed(lengths, sampling.batch_size, self.settings.seed + epoch)
        extra = round(sampling.statistics * sampling.batch_size) if self.tables else 0
        return [
            [clips[i] for i in batch] + [self._draw(random.choice(self.tables), random) for _ in range(extra)]
            for batch in batches
        ]

    def batch_weight(self, batch: Sequence[int]) -> float:
        """Count every example alike."""
        return float(len(batch))

    def loss(self, model: Any, batch: Sequence[int], device: Any, rng_key: tuple[int, ...]) -> Tensor:
        """Focal loss of augmented clips, each in a simulated recording, and of statistics alone."""
        random = np.random.default_rng(rng_key)
        examples = [self.train[i] for i in batch]
        mels, lengths, statistics = collate([self._augmented(example, random) for example in examples])
        labels = torch.tensor([example.label for example in examples])
        half = self.settings.precision == "bfloat16"
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=half):
            pooled = self.encoder.pooled(mels.to(device), lengths)
        mean, std = self._recordings(pooled, examples, labels, random)
        relative = self.encoder.standardised(pooled, mean, std)
        labels = labels.to(device)
        return focal_loss(
            self.encoder.logits(self.encoder.join(relative, statistics.to(device))),
            labels,
            mask=torch.ones_like(labels, dtype=torch.bool),
            gamma=self.settings.gamma,
            label_smoothing=self.settings.label_smoothing,
        )

    def weights(self) -> Mapping[str, Tensor]:
        """All that the encoder's folder keeps, and the moments that recordings are simulated from."""
        return {**self.encoder.state_dict(), **self.recordings.weights()}

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take such weights."""
        self.recordings.load(weights)
        own = {name: value for name, value in weights.items() if not name.startswith("recordings.")}
        self.encoder.load_state_dict(own)

    def validate(self, accelerator: Any) -> dict[str, float]:
        """Score every corpus, and their mean."""
        return corpus_scores(self.validation)

    def _draw(self, corpus: str, random: np.random.Generator) -> int:
        """Draw an emotion of a corpus, and an example of it."""
        cells = self.cells[corpus]
        cell = cells[sorted(cells)[random.integers(len(cells))]]
        return cell[random.integers(len(cell))]

    def _recordings(
        self,
        pooled: Tensor,
        examples: Sequence[SpeechExample],
        labels: Tensor,
        random: np.random.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation `[N, D]` that each example is standardised by."""
        mean, std = torch.zeros_like(pooled), torch.ones_like(pooled)
        there = torch.tensor([example.samples is not None for example in examples]).nonzero().flatten()
        if len(there):
            corpora = torch.tensor([self.corpora.index(examples[i].corpus) for i in there.tolist()])
            self.recordings.update(pooled.detach()[there].cpu(), corpora, labels[there])
            typical_mean, typical_std = self.recordings.typical
            self.encoder.typical_mean.copy_(typical_mean)
            self.encoder.typical_spread.copy_(typical_std)
            drawn = self.recordings.draw(corpora, random)
            mean[there], std[there] = (moment.to(pooled) for moment in drawn)
        return mean, std

    def _augmented(self, example: SpeechExample, random: np.random.Generator) -> AudioFeatures:
        """Change a clip and its statistics, and compute its spectrogram."""
        statistics = example.centred_statistics[0]
        if example.samples is None:
            return AudioFeatures(None, statistics)
        statistics = augment_statistics(statistics, self.augmentation, random)
        sound = trim_silence(augment(example.sound, self.augmentation, random))
        least, most = int(MIN_SECONDS * SAMPLE_RATE), int(self.sampling.max_seconds * SAMPLE_RATE)
        first = int(random.integers(max(1, len(sound) - most + 1)))
        sound = np.pad(sound[first : first + most], (0, max(0, least - len(sound))))
        mel = self.frontend.mel(sound)
        if random.random() < self.sampling.shuffled:
            step = int(random.integers(*_SHUFFLED_ROWS))
            pieces = [mel[i : i + step] for i in range(0, len(mel), step)]
            mel = np.concatenate([pieces[i] for i in random.permutation(len(pieces))])
        return AudioFeatures(mask(mel, self.augmentation, random), statistics)


def _fractions(corpora: Sequence[str], sampling: SamplingConfig) -> NDArray[np.float64]:
    """Probability `[G]` that a clip is of a corpus.

    :raises InputError: there is no sound, or the fractions are of other corpora.
    """
    if not corpora:
        raise InputError("no labelled turn of the training split has sound: leave sampling out")
    given = sampling.corpora or dict.fromkeys(corpora, 1.0)
    for name in sorted(given.keys() ^ set(corpora)):
        what = "is not a corpus with sound here" if name in given else "has sound, but no fraction"
        raise InputError(
            f"sampling.corpora: {name!r} {what}; the corpora with sound are {', '.join(corpora)}"
        )
    whole = sum(given.values())
    return np.array([given[name] / whole for name in corpora])


def _neutral(sampling: SamplingConfig, labels: LabelSet) -> int | None:
    """Position of the label that most turns of a conversation have."""
    name = sampling.recordings.neutral_label
    if name is None:
        return None
    if name not in labels:
        raise InputError(
            f"sampling.recordings.neutral_label: {name!r} is no label; the labels are {', '.join(labels)}"
        )
    return labels.index(name)


class ClipPredictor:
    """Predicts the labels of clips by the encoder's own classifier; their spectrograms are computed once.

    :param encoder: the one that is scored.
    :param frontend: makes spectrograms.
    :param examples: those without sound are predicted by their statistics.
    """

    def __init__(
        self, encoder: WhisperEncoder, frontend: SpeechFrontend, examples: Sequence[SpeechExample]
    ) -> None:
        self.encoder = encoder
        self.labels = np.array([example.label for example in examples])
        self.corpora = np.array([example.corpus for example in examples])
        self.centred = np.array([example.centred for example in examples])
        self.features = [_features(example, frontend) for example in examples]

    @torch.inference_mode()
    def predict(self, *, together: bool) -> NDArray[np.int64]:
        """Position of the likeliest label of each example `[N]`.

        :param together: take the clips of a corpus as one recording, and not each as its own.
        """
        self.encoder.eval()
        pooled = self.encoder.pool_features(self.features)
        statistics = np.stack([turn.statistics for turn in self.features])
        found = np.zeros(len(self.labels), np.int64)
        for corpus in np.unique(self.corpora):
            rows = np.flatnonzero(self.corpora == corpus)
            for part in [rows] if together else rows[:, None]:
                embedded = self._embed(pooled[part], statistics[part], part)
                found[part] = self.encoder.logits(embedded).argmax(-1).cpu().numpy()
        return found

    def _embed(self, pooled: Tensor, statistics: NDArray[np.float32], part: NDArray[np.int64]) -> Tensor:
        """Embed the examples of one recording; centred intensities are not centred again."""
        if not self.centred[part].all():
            return self.encoder.embed_pooled(pooled, statistics)
        device = self.encoder.missing_sound.device
        relative = self.encoder.relative(pooled.to(device))
        return self.encoder.join(relative, torch.from_numpy(statistics).to(device))


def corpus_scores(predictor: ClipPredictor) -> dict[str, float]:
    """Score the predictions of each corpus, 0 to 100.

    A corpus with several labels: the weighted F1 of its clips each alone and, as `corpus: together`, as one
    recording; statistics alone have no sound that could be together. A corpus all of one label, such as
    neutral read speech: the percentage of its clips that come out so.

    :return: the scores, and as `validation_weighted_f1` the mean over the corpora.
    """
    alone, together = predictor.predict(together=False), predictor.predict(together=True)
    scores: dict[str, float] = {}
    means = []
    for corpus in np.unique(predictor.corpora):
        mine = predictor.corpora == corpus
        labels = predictor.labels[mine]
        if len(np.unique(labels)) == 1:
            own = {str(corpus): 100 * float((labels == alone[mine]).mean())}
        else:
            own = {str(corpus): weighted_f1(labels, alone[mine])}
            if not predictor.centred[mine].all():
                own[f"{corpus}: together"] = weighted_f1(labels, together[mine])
        means.append(np.mean(list(own.values())))
        scores |= own
    return {**scores, SCORE: float(np.mean(means))}


def _features(example: SpeechExample, frontend: SpeechFrontend) -> AudioFeatures:
    """Spectrogram and statistics of an example as it is."""
    audible = len(example.sound) >= MIN_SECONDS * SAMPLE_RATE
    return AudioFeatures(frontend.mel(example.sound) if audible else None, example.statistics)
