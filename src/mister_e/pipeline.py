"""From a recording, its transcript or both to an `Analysis`: the road of use, whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mister_e.analysis.result import Analysis
from mister_e.analysis.turns import ConversationAnalysis, FailedInput, TurnAnalysis, unique_ids
from mister_e.audio.decode import Channels, blocks, probe
from mister_e.audio.waveform import Waveform
from mister_e.conversation import Conversation, Utterance
from mister_e.encoders.embed import HeardTurn, embed_turns, has_words, hear_turns
from mister_e.encoders.speech.frontend import SpeechFrontend
from mister_e.errors import InputError
from mister_e.experts import EXPERTS
from mister_e.inference.calibration import temperatures
from mister_e.inference.model_folder import ModelFolder
from mister_e.inference.predict import Mode, predict
from mister_e.inference.predictions import Predictions
from mister_e.labels import LabelSet
from mister_e.pretrained import model_folder
from mister_e.progress import Progress, silent
from mister_e.transcription.align import cut_turns
from mister_e.transcription.asr import load_whisper
from mister_e.transcription.segment import transcribe_turns
from mister_e.transcription.transcripts import FORMATS, read_transcript
from mister_e.version import __version__

Source = str | Path | Conversation


@dataclass(frozen=True)
class Judged:
    """What a model says of N turns, before it is put into words.

    :param turns: the turns without their sound, conversation after conversation.
    :param predictions: of the same turns, unlabelled; a turn without words and sound is not judged.
    :param temperatures: float64 `[N, 1]`, what their logits are divided by for calibrated probabilities.
    :param notes: what was not heard or read.
    """

    turns: tuple[Utterance, ...]
    predictions: Predictions
    temperatures: NDArray[np.float64]
    notes: tuple[str, ...]


class Pipeline:
    """A model ready for use: give it recordings, transcripts or `Conversation`s.

    Whisper recognises words by CTranslate2, in 8 bits; its encoder half runs in torch for the emotions, for
    its layers are adapted.
    """

    def __init__(self, model: ModelFolder, *, device: str = "cpu") -> None:
        self.model = model
        self.device = torch.device(device)
        self.whisper = load_whisper()
        self.front_end = SpeechFrontend()
        for module in (model.text_encoder, model.speech_encoder, model.mixture):
            module.eval().to(self.device)

    @classmethod
    def from_pretrained(cls, model: str | Path = "mini", *, device: str = "auto") -> Self:
        """Load a model.

        :param model: a bundled name, a model folder, or a Hugging Face Hub id.
        :param device: `cpu`, `cuda` for the encoders and the mixture (recognition stays on the CPU),
            or `auto`: the CPU, for the bundled models are too small to gain from a GPU.
        :raises InputError: there is no such model or device, or its folder is damaged.
        """
        if device == "auto":
            device = "cpu"
        if device not in ("cpu", "cuda"):
            raise InputError(f"unknown device {device!r}: expected auto, cpu or cuda")
        if device == "cuda" and not torch.cuda.is_available():
            raise InputError("device 'cuda': no usable GPU here; use auto or cpu")
        return cls(ModelFolder.load(model_folder(model)), device=device)

    @property
    def labels(self) -> LabelSet:
        """The emotions that the model can tell."""
        return self.model.labels

    @property
    def identity(self) -> dict[str, Any]:
        """Name, languages, encoders, file hashes and the limit of uncertainty of the model."""
        config = self.model.config
        return {
            "name": config.name,
            "text_encoder": self.model.text_encoder.config.base,
            "speech_encoder": config.speech_encoder.base,
            "languages": config.languages,
            "sha256": config.fingerprint,
            "uncertain_below": config.calibration.uncertain_below,
        }

    def __call__(
        self,
        inputs: Source | Sequence[Source],
        *,
        transcript: str | Path | None = None,
        channels: Channels = "mix",
        asr: bool = True,
        language: str = "en",
        progress: Progress = silent,
    ) -> Analysis:
        """Analyse one input or several; each is one conversation.

        :param inputs: recordings, transcripts (words alone) or conversations. Of several, one that
            cannot be read does not stop the rest: it is listed in `errors`.
        :param transcript: words and times of the one recording; nothing is recognised then, and
            `asr` and `language` have no say.
        :param channels: `mix` hears the mean of all channels, `split` cuts each into turns by itself.
        :param asr: recognise the words; without, the speech expert judges alone.
        :param language: of the speech; the bundled recogniser knows `en`.
        :param progress: called with (stage, done, total).
        :raises InputError: the only input cannot be read.
        """
        single = isinstance(inputs, (str, Path, Conversation))
        sources: Sequence[Source] = [inputs] if single else list(inputs)  # type: ignore[arg-type, list-item]
        if transcript is not None and len(sources) != 1:
            raise InputError(f"a transcript belongs to one recording, {len(sources)} inputs were given")
        done: list[ConversationAnalysis] = []
        errors: list[FailedInput] = []
        for source in sources:
            try:
                conversation = self.analyze(
                    source,
                    transcript=transcript,
                    channels=channels,
                    asr=asr,
                    language=language,
                    progress=progress,
                )
            except Exception as error:
                if len(sources) == 1:
                    raise
                # whatever one recording does to a decoder, the others keep their results
                what = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
                errors.append(FailedInput(_name(source), what))
            else:
                done.append(conversation)
        return Analysis(__version__, self.identity, self.labels, unique_ids(done), tuple(errors))

    def analyze(
        self,
        source: Source,
        *,
        transcript: str | Path | None = None,
        channels: Channels = "mix",
        asr: bool = True,
        language: str = "en",
        progress: Progress = silent,
    ) -> ConversationAnalysis:
        """Analyse one conversation; parameters as for calling the pipeline.

        :raises InputError: it cannot be read.
        """
        notes: list[str] = []
        if isinstance(source, Conversation):
            if transcript is not None:
                raise InputError(f"conversation {source.id}: has its own words; leave the transcript out")
            turns = self._analyzed(source.id, source.utterances, notes, progress)
            return ConversationAnalysis(source.id, source.source, source.duration, tuple(turns), tuple(notes))
        path = Path(source)
        if path.suffix.lower() in FORMATS:
            if transcript is not None:
                raise InputError(f"{path}: is a transcript itself; give the recording with its transcript")
            turns = self._analyzed(path.stem, read_transcript(path), notes, progress)
            return ConversationAnalysis(path.stem, str(path), None, tuple(turns), tuple(notes))
        recording = probe(path)
        waveform = Waveform()
        sound = waveform.watch(blocks(path, channels=channels, notes=notes))
        if transcript is None:
            whisper = self.whisper if asr else None
            utterances = transcribe_turns(
                sound, whisper=whisper, language=language, total=recording.duration, progress=progress
            )
        else:
            utterances = cut_turns(
                sound,
                read_transcript(transcript),
                total=recording.duration,
                recording=recording,
                origin=transcript,
                progress=progress,
                notes=notes,
            )
        turns = self._analyzed(path.stem, utterances, notes, progress)
        if not turns:
            notes.append("no speech was found")
        return ConversationAnalysis(
            path.stem, str(path), waveform.duration, tuple(turns), tuple(notes), waveform.outline()
        )

    def judge(
        self,
        conversations: Iterable[Conversation],
        *,
        mode: Mode = "full",
        together: bool = False,
        total: int = 0,
        progress: Progress = silent,
    ) -> Judged:
        """Judge many conversations together, of whatever length, for their numbers: to score or to study.

        They are heard in groups of turns, whatever conversation those belong to, and judged in batches;
        the result of each is as if it had been alone. Their sound is taken as it is needed, so that a
        generator may load it.

        :param conversations: with turns cut already; a turn without sound may carry statistics of it.
        :param mode: see `mister_e.inference.predict.predict`.
        :param together: whether they are all cut from one recording, and sound is relative to that.
        :param total: turns in all, for the progress; 0 = not known.
        :param progress: told of turns, as stages "hear", "read" and "predict".
        :raises InputError: a recording cannot be read, or there is no such mode.
        """
        notes: list[str] = []
        lengths: list[tuple[str, int]] = []

        def turns() -> Iterator[Utterance]:
            for one in conversations:
                lengths.append((one.id, len(one)))
                for turn in one:
                    yield _shown(turn, mode)

        heard = []
        for turn in hear_turns(turns(), self.front_end, self.model.speech_encoder, notes):
            heard.append(turn)
            progress("hear", len(heard), total)
        rest = iter(heard)
        grouped = [(name, list(islice(rest, length))) for name, length in lengths]
        return self._judge(grouped, notes, mode, together=together, progress=progress)

    def _judge(
        self,
        conversations: Sequence[tuple[str, Sequence[HeardTurn]]],
        notes: list[str],
        mode: Mode = "full",
        *,
        together: bool = False,
        progress: Progress = silent,
    ) -> Judged:
        """Read what was said, and ask the experts."""
        progress("read", 0, 0)
        model = self.model
        embedded = embed_turns(
            conversations, model.text_encoder, model.speech_encoder, notes, together=together
        )
        predictions = predict(model.mixture, embedded, mode=mode, progress=progress)
        turns = tuple(turn.utterance for _, own in conversations for turn in own)
        return Judged(turns, predictions, temperatures(model.config.calibration, predictions), tuple(notes))

    def _analyzed(
        self, name: str, utterances: Iterable[Utterance], notes: list[str], progress: Progress
    ) -> list[TurnAnalysis]:
        """Judge one conversation and name what was said of each turn; those with nothing are left out."""
        heard = list(hear_turns(utterances, self.front_end, self.model.speech_encoder, notes))
        if not heard:
            return []
        progress("judge", 0, len(heard))
        read: list[str] = []
        judged = self._judge([(name, heard)], read)
        there = judged.predictions.judged
        silent_turns = [turn.id for turn, one in zip(judged.turns, there, strict=True) if not one]
        if silent_turns:
            notes.append(
                f"{len(silent_turns)} turns without words or sound were left out: {_shortened(silent_turns)}"
            )
        notes += read
        progress("judge", len(heard), len(heard))
        return self._named(judged)

    def _named(self, judged: Judged) -> list[TurnAnalysis]:
        """Put the judged turns of a model into words."""
        predictions = judged.predictions
        # a model folder has all experts and weighs them
        assert predictions.experts is not None
        assert predictions.present is not None
        assert predictions.gate is not None
        temperature = torch.from_numpy(judged.temperatures)
        probabilities = (torch.from_numpy(predictions.logits).double() / temperature).softmax(-1)
        experts = (torch.from_numpy(predictions.experts).double() / temperature[:, None]).softmax(-1)
        gate = torch.from_numpy(predictions.gate).double()
        gate = gate / gate.sum(-1, keepdim=True)  # float32 sums to 1 within 1e-7 only
        present = torch.from_numpy(predictions.present)
        return [
            self._turn(judged.turns[i], probabilities[i], experts[i], gate[i], present[i])
            for i in predictions.judged.nonzero()[0].tolist()
        ]

    def _turn(
        self, utterance: Utterance, probabilities: Tensor, experts: Tensor, gate: Tensor, present: Tensor
    ) -> TurnAnalysis:
        scores = self.labels.scores(probabilities.tolist())
        emotion = max(scores, key=lambda label: scores[label])
        heard, read, _ = present.tolist()
        return TurnAnalysis(
            id=utterance.id,
            start=utterance.start,
            end=utterance.end,
            channel=utterance.channel,
            text=utterance.text if has_words(utterance) else None,
            emotion=emotion,
            confidence=scores[emotion],
            scores=scores,
            experts={
                name: self.labels.scores(experts[k].tolist()) if present[k] else None
                for k, name in enumerate(EXPERTS)
            },
            gate=dict(zip(EXPERTS, gate.tolist(), strict=True)),
            missing=tuple(name for name, there in (("speech", heard), ("text", read)) if not there),
            uncertain=scores[emotion] < self.model.config.calibration.uncertain_below,
        )


def _shown(turn: Utterance, mode: Mode) -> Utterance:
    """Take away what a mode does without, so that nothing is heard or read for nothing."""
    if mode == "text-only":
        custom = {name: value for name, value in turn.custom.items() if name != "features"}
        return replace(turn, audio=None, custom=custom)
    return replace(turn, text=None) if mode == "speech-only" else turn


def _shortened(names: Sequence[str], most: int = 5) -> str:
    """List names, not too many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _name(source: Source) -> str:
    return source.id if isinstance(source, Conversation) else str(source)
