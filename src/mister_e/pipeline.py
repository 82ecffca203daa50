"""From a recording, its transcript or both to an `Analysis`: the road of use, whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import mister_e
from mister_e.analysis import EXPERTS, Analysis, ConversationAnalysis, FailedInput, TurnAnalysis, unique_ids
from mister_e.audio.cues import cut_turns
from mister_e.audio.decode import Channels, blocks, probe
from mister_e.audio.prosody import STATISTICS
from mister_e.audio.transcripts import FORMATS, read_transcript
from mister_e.audio.turns import transcribe_turns
from mister_e.audio.vad import LONGEST
from mister_e.audio.waveform import Waveform
from mister_e.conversation import SAMPLE_RATE, Conversation, Utterance
from mister_e.encoders.front_end import SpeechFrontEnd, centred, load_whisper
from mister_e.errors import InputError
from mister_e.hooks import Progress, silent
from mister_e.labels import LabelSet
from mister_e.model.gate import expert_presence
from mister_e.pretrained import model_folder
from mister_e.pretrained.folder import ModelFolder

Source = str | Path | Conversation
#: Sound that is held before it is embedded, in seconds: enough for batches, little for memory.
GROUP_SECONDS = 60.0
#: Turns that are held at most, for those without times.
GROUP_TURNS = 64

UNDEFINED = np.full(len(STATISTICS), np.nan, dtype=np.float32)


class Pipeline:
    """A model ready for use: give it recordings, transcripts or `Conversation`s.

    One Whisper serves recognition and embedding; nothing is loaded twice.
    """

    def __init__(self, model: ModelFolder, *, device: str = "cpu") -> None:
        self.model = model
        self.device = torch.device(device)
        self.whisper = load_whisper()
        self.front_end = SpeechFrontEnd(self.whisper)
        for module in (model.text_encoder, model.speech_encoder, model.mixture):
            module.eval().to(self.device)

    @classmethod
    def from_pretrained(cls, model: str | Path = "mini", *, device: str = "auto") -> Self:
        """Load a model.

        :param model: a bundled name, a model folder, or a Hugging Face Hub id.
        :param device: `cpu`, `cuda` for the text encoder and the mixture (Whisper stays on the CPU),
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
        return Analysis(mister_e.__version__, self.identity, self.labels, unique_ids(done), tuple(errors))

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
            turns = self._judge(self._hear(source.utterances, notes), notes, progress)
            return ConversationAnalysis(source.id, source.source, source.duration, tuple(turns), tuple(notes))
        path = Path(source)
        if path.suffix.lower() in FORMATS:
            if transcript is not None:
                raise InputError(f"{path}: is a transcript itself; give the recording with its transcript")
            turns = self._judge(self._hear(read_transcript(path), notes), notes, progress)
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
        turns = self._judge(self._hear(utterances, notes), notes, progress)
        if not turns:
            notes.append("no speech was found")
        return ConversationAnalysis(
            path.stem, str(path), waveform.duration, tuple(turns), tuple(notes), waveform.outline()
        )

    @torch.inference_mode()
    def _hear(self, utterances: Iterable[Utterance], notes: list[str]) -> _Turns:
        """Hear and pool turns group by group, and let their sound go."""
        turns = _Turns()
        for group in _groups(utterances):
            sounds = [turn.audio.load() if turn.audio else np.zeros(0, np.float32) for turn in group]
            notes += [
                f"{turn.id}: only its first {LONGEST:.0f} s were heard"
                for turn, sound in zip(group, sounds, strict=True)
                if len(sound) > (LONGEST + 1) * SAMPLE_RATE
            ]
            heard = self.front_end.hear(sounds)
            there = [turn for turn in heard if turn is not None]
            if there:
                pooled = iter(self.model.speech_encoder.pool_heard(there))
            for utterance, turn in zip(group, heard, strict=True):
                turns.utterances.append(replace(utterance, audio=None))
                turns.pooled.append(None if turn is None else next(pooled))
                turns.statistics.append(UNDEFINED if turn is None else turn.statistics)
        return turns

    @torch.inference_mode()
    def _judge(self, turns: _Turns, notes: list[str], progress: Progress) -> list[TurnAnalysis]:
        """Embed what was heard and read, and ask the experts about the whole conversation."""
        turns = turns.judgeable(notes)
        count = len(turns.utterances)
        if not count:
            return []
        progress("judge", 0, count)
        has_speech = torch.tensor([pooled is not None for pooled in turns.pooled])
        has_text = torch.tensor([_has_words(turn) for turn in turns.utterances])
        speech = torch.zeros(count, self.model.speech_encoder.dim)
        if has_speech.any():
            pooled = torch.stack([one for one in turns.pooled if one is not None])
            statistics = torch.from_numpy(centred(np.stack(turns.statistics)))
            speech[has_speech] = self.model.speech_encoder.join(
                pooled.to(self.device), statistics[has_speech].to(self.device)
            ).cpu()
        text = self.model.text_encoder.embed_words([[turn.text for turn in turns.utterances]])
        if has_text.any():
            words = [turn.text for turn in turns.utterances if turn.text and _has_words(turn)]
            cut = sum(self.model.text_encoder.is_cut(one) for one in words)
            if cut:
                most = self.model.text_encoder.config.max_tokens
                notes.append(
                    f"{cut} of {len(words)} turns are longer than {most} tokens: their ends were not read"
                )
        output = self.model.mixture(
            text[None].to(self.device),
            speech[None].to(self.device),
            mask=torch.ones(1, count, dtype=torch.bool, device=self.device),
            has_text=has_text[None].to(self.device),
            has_speech=has_speech[None].to(self.device),
        )
        calibration = self.model.config.calibration
        temperature = torch.where(has_text, calibration.text, calibration.speech)
        temperature = torch.where(has_text & has_speech, calibration.both, temperature)[:, None]
        probabilities = (output.logits[0].double().cpu() / temperature).softmax(-1)
        experts = (output.experts[0].double().cpu() / temperature[:, None]).softmax(-1)
        gate = output.gate[0].double().cpu()
        gate = gate / gate.sum(-1, keepdim=True)  # float32 sums to 1 within 1e-7 only
        present = expert_presence(has_speech, has_text)
        progress("judge", count, count)
        return [
            self._turn(turns.utterances[i], probabilities[i], experts[i], gate[i], present[i])
            for i in range(count)
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
            text=utterance.text if _has_words(utterance) else None,
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


@dataclass
class _Turns:
    """Turns of one conversation, heard; what stays of a long recording.

    :param utterances: T turns without their sound.
    :param pooled: `[768]` each, None where speech is missing.
    :param statistics: float32 `[8]` each, NaN = undefined.
    """

    utterances: list[Utterance] = field(default_factory=list)
    pooled: list[Tensor | None] = field(default_factory=list)
    statistics: list[NDArray[np.float32]] = field(default_factory=list)

    def judgeable(self, notes: list[str]) -> _Turns:
        """Leave out the turns that have neither speech nor words, and note them."""
        judged = [p is not None or _has_words(t) for p, t in zip(self.pooled, self.utterances, strict=True)]
        kept = [i for i, one in enumerate(judged) if one]
        silent = [turn.id for turn, one in zip(self.utterances, judged, strict=True) if not one]
        if silent:
            notes.append(f"{len(silent)} turns without words or sound were left out: {_shortened(silent)}")
        return _Turns(
            [self.utterances[i] for i in kept],
            [self.pooled[i] for i in kept],
            [self.statistics[i] for i in kept],
        )


def _shortened(names: Sequence[str], most: int = 5) -> str:
    """List names, not too many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _has_words(utterance: Utterance) -> bool:
    return bool(utterance.text and utterance.text.strip())


def _groups(utterances: Iterable[Utterance]) -> Iterator[list[Utterance]]:
    """Gather turns until their sound is worth a few batches."""
    group: list[Utterance] = []
    seconds = 0.0
    for utterance in utterances:
        group.append(utterance)
        if utterance.audio is not None and utterance.start is not None and utterance.end is not None:
            seconds += utterance.end - utterance.start
        if seconds >= GROUP_SECONDS or len(group) >= GROUP_TURNS:
            yield group
            group, seconds = [], 0.0
    if group:
        yield group


def _name(source: Source) -> str:
    return source.id if isinstance(source, Conversation) else str(source)
