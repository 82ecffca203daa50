"""From a recording, its transcript or both to an `Analysis`: the road of use, whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack

import torch
from numpy.typing import NDArray
from torch import Tensor

from mister_e.analysis.result import Analysis
from mister_e.analysis.turns import ConversationAnalysis, FailedInput, TurnAnalysis
from mister_e.audio.format import Channels
from mister_e.conversation import Conversation, Utterance, has_words
from mister_e.encoders.base import UtteranceEncoder
from mister_e.errors import InputError, describe
from mister_e.experts import EXPERTS, MODALITIES
from mister_e.inference.model_folder import ModelFolder
from mister_e.inference.predictor import Predictor, TurnPredictions, unread_notes
from mister_e.inputs import Input, Sound, as_sources, named_inputs
from mister_e.labels import LabelSet
from mister_e.pretrained.whisper import BUNDLED
from mister_e.progress import INPUT, Progress, silent
from mister_e.transcription.asr import Recogniser
from mister_e.transcription.cutting.voices import VoiceChanges
from mister_e.transcription.recording import open_recording, recording_turns
from mister_e.transcription.segment import Turns
from mister_e.transcription.transcripts import is_transcript, read_transcript
from mister_e.transcription.whisper import AUTO, whisper_recognisers
from mister_e.version import __version__

if TYPE_CHECKING:
    from mister_e.inputs import Source


class Options(TypedDict, total=False):
    """How recordings and transcripts become turns.

    :param channels: `mix` takes the mean of all channels, `split` cuts each into turns by itself.
    :param track: sound track of the recording, the first is 1; None = the one flagged as default.
    :param asr: recognise the words; without, the speech expert predicts alone.
    :param language: code of the language spoken; `auto` leaves it to the recogniser: Whisper as it is bundled
        knows `en` alone, a multilingual one tells that of each turn.
    :param turns: where a recording is cut: at `pauses` of half a second; at the ends of `sentences` and short
        pauses besides; or where `voices` change, and there unless one voice surely goes on. None = the last,
        if the model can, else the second.
    :param strict: refuse a transcript for a turn that cannot be read, or lies beyond the recording; else
        it costs that turn alone, and a note tells which.
    """

    channels: Channels
    track: int | None
    asr: bool
    language: str
    turns: Turns | None
    strict: bool


class Pipeline:
    """A model ready for use: give it recordings, transcripts or `Conversation`s.

    It finds turns and words, lets a `Predictor` predict, and puts the predictions into words.
    """

    def __init__(
        self,
        model: ModelFolder,
        *,
        device: str = "cpu",
        recogniser: str | Path | Callable[[str], Recogniser] = BUNDLED,
        compute_type: str = "default",
    ) -> None:
        """Make ready for use.

        :param model: what predicts.
        :param device: `cpu` or `cuda`, for the encoders, the mixture and Whisper.
        :param recogniser: a Whisper by its name, folder or Hub id, see `mister_e.pretrained.whisper`; or what
            makes a recogniser of the code of a language, or of `auto`, and raises `InputError` where it does
            not know that. It is called when words of a language are first to be recognised.
        :param compute_type: of a Whisper, see `mister_e.transcription.whisper.load_whisper`.
        """
        self.model = model
        self.device = torch.device(device)
        self.predictor = Predictor(model, device=self.device)
        self._make_recogniser = (
            recogniser
            if callable(recogniser)
            else whisper_recognisers(recogniser, device=self.device.type, compute_type=compute_type)
        )
        self._recognisers: dict[str, Recogniser] = {}

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path = "mini",
        *,
        device: str = "auto",
        recogniser: str | Path | Callable[[str], Recogniser] = BUNDLED,
        compute_type: str = "default",
        revision: str | None = None,
        token: str | None = None,
    ) -> Self:
        """Load a model.

        :param model: a bundled name, a model folder, or a Hugging Face Hub id.
        :param device: `cpu`, `cuda`, or `auto`: the CPU, for the bundled models are too small to gain from a
            GPU.
        :param recogniser: a Whisper, or what makes a recogniser of the code of a language; see `__init__`.
        :param compute_type: of a Whisper, see `mister_e.transcription.whisper.load_whisper`.
        :param revision: of a Hub model: a branch, tag or commit; None = the main branch.
        :param token: for the Hub; None = that of `hf auth login`.
        :raises InputError: there is no such model or device, or its folder is damaged.
        """
        if device == "auto":
            device = "cpu"
        if device not in ("cpu", "cuda"):
            raise InputError(f"unknown device {device!r}: expected auto, cpu or cuda")
        if device == "cuda" and not torch.cuda.is_available():
            raise InputError("device 'cuda': no usable GPU here; use auto or cpu")
        folder = ModelFolder.from_pretrained(model, revision=revision, token=token)
        return cls(folder, device=device, recogniser=recogniser, compute_type=compute_type)

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
            "text_encoder": _encoder_name(self.predictor.text_encoder),
            "speech_encoder": _encoder_name(self.predictor.speech_encoder),
            "languages": config.languages,
            "sha256": config.fingerprint,
            "uncertain_below": config.calibration.uncertain_below,
        }

    def __call__(
        self,
        inputs: Source | tuple[NDArray[Any], int] | Sequence[Source | tuple[NDArray[Any], int]],
        *,
        transcript: str | Path | None = None,
        cuts: str | Path | None = None,
        progress: Progress = silent,
        **options: Unpack[Options],
    ) -> Analysis:
        """Analyse one input or several; each is one conversation.

        :param inputs: recordings, transcripts (words alone) or conversations; sound in memory is
            `(samples, rate)`, see `mister_e.audio.resampling.array_blocks`. Of several, one that cannot be
            read does not stop the rest: it is listed in `errors`.
        :param transcript: words and times of the one recording; nothing is recognised then, and
            `asr`, `turns` and `language` have no say.
        :param cuts: where the one recording is cut into turns, see `mister_e.transcription.cuts.read_cuts`;
            their words are recognised, and `turns` has no say.
        :param progress: called with (stage, done, total).
        :param options: see `Options`.
        :raises InputError: the only input cannot be read.
        :raises TypeError: an input is of another type.
        """
        sources = as_sources(inputs)
        for noun, file in (("a transcript belongs", transcript), ("a file of cuts belongs", cuts)):
            if file is not None and len(sources) != 1:
                raise InputError(f"{noun} to one recording, {len(sources)} inputs were given")
        given = [replace(one, cuts=cuts) for one in named_inputs((source, transcript) for source in sources)]
        return self.collect(self.analyze_each(given, progress=progress, **options))

    def analyze_each(
        self,
        inputs: Sequence[Input],
        *,
        progress: Progress = silent,
        **options: Unpack[Options],
    ) -> Iterator[ConversationAnalysis | FailedInput]:
        """Analyse one input after the other; parameters as for calling the pipeline.

        :param inputs: each has a name, and may have a transcript.
        :param progress: also told which input begins, as stage `mister_e.progress.INPUT`.
        :return: the result of each input as soon as it is done, by its name. Of several, one that cannot be
            analysed does not stop the rest: why comes in its place.
        :raises InputError: the only input cannot be read, or there is no such recogniser or language, or
            nothing that tells changes of voice.
        """
        if options.get("asr", True) and any(map(_is_recognised, inputs)):
            # what is wrong with it is wrong for every input
            self._recogniser(options.get("language", AUTO))
        if any(_is_recognised(given) and given.cuts is None for given in inputs):
            self._cutting(options.get("turns"))
        for number, given in enumerate(inputs, start=1):
            progress(INPUT, number, len(inputs))
            result: ConversationAnalysis | FailedInput
            try:
                conversation = self.analyze(
                    given.source,
                    transcript=given.transcript,
                    cuts=given.cuts,
                    progress=progress,
                    **options,
                )
                result = replace(conversation, id=given.name)
            except Exception as error:
                if len(inputs) == 1:
                    raise
                # whatever one recording does to a decoder, the others keep their results
                result = FailedInput(str(given), describe(error))
            yield result

    def collect(self, results: Iterable[ConversationAnalysis | FailedInput]) -> Analysis:
        """Put results of `analyze_each` together."""
        done: list[ConversationAnalysis] = []
        errors: list[FailedInput] = []
        for result in results:
            if isinstance(result, FailedInput):
                errors.append(result)
            else:
                done.append(result)
        return Analysis(__version__, self.identity, self.labels, tuple(done), tuple(errors))

    def analyze(
        self,
        source: Source,
        *,
        transcript: str | Path | None = None,
        cuts: str | Path | None = None,
        channels: Channels = "mix",
        track: int | None = None,
        asr: bool = True,
        language: str = AUTO,
        turns: Turns | None = None,
        strict: bool = False,
        progress: Progress = silent,
    ) -> ConversationAnalysis:
        """Analyse one conversation; parameters as for calling the pipeline, and `Options`.

        :raises InputError: it cannot be read.
        """
        notes: list[str] = []
        if cuts is not None and transcript is not None:
            raise InputError(f"{cuts}: cuts, and a transcript with turns of its own; leave one of them out")
        if isinstance(source, Conversation):
            if cuts is not None:
                raise InputError(f"conversation {source.id}: has its own turns; leave the cuts out")
            if transcript is not None:
                raise InputError(f"conversation {source.id}: has its own words; leave the transcript out")
            found = self._analyzed(source.id, source.utterances, notes, progress)
            return ConversationAnalysis(source.id, source.source, source.duration, tuple(found), tuple(notes))
        if not isinstance(source, Sound) and is_transcript(Path(source)):
            path = Path(source)
            if transcript is not None or cuts is not None:
                raise InputError(f"{path}: is a transcript itself; give the recording with its transcript")
            words = read_transcript(path, strict=strict, notes=notes)
            found = self._analyzed(path.stem, words, notes, progress)
            return ConversationAnalysis(path.stem, str(path), None, tuple(found), tuple(notes))
        if transcript is not None or cuts is not None:  # where to cut is told
            turns = "sentences"
        way, voices = self._cutting(turns)
        recording = open_recording(source, channels=channels, track=track, notes=notes)
        utterances = recording_turns(
            recording,
            transcript=transcript,
            cuts=cuts,
            recogniser=self._recogniser(language) if asr and transcript is None else None,
            turns=way,
            voices=voices,
            strict=strict,
            progress=progress,
        )
        found = self._analyzed(recording.name, utterances, notes, progress)
        if not found:
            notes.append("no speech was found")
        waveform = recording.waveform
        return ConversationAnalysis(
            recording.name,
            recording.path,
            waveform.duration,
            tuple(found),
            tuple(notes),
            waveform.outline(),
        )

    def _cutting(self, turns: Turns | None) -> tuple[Turns, VoiceChanges | None]:
        """Where to cut, and what tells changes of voice, which other ways of cutting do not ask.

        :raises InputError: changes of voice are wanted, and the model has nothing that tells them.
        """
        voices = self.model.voices
        turns = turns or ("sentences" if voices is None else "voices")
        if turns == "voices" and voices is None:
            raise InputError(
                f"model {self.model.config.name}: has nothing that tells changes of voice; cut at sentences"
                " (--turns sentences), or export it with what tells them (mister-e export --voices-head)"
            )
        return turns, voices if turns == "voices" else None

    def _recogniser(self, language: str) -> Recogniser:
        """What recognises the words of a language, made once."""
        if language not in self._recognisers:
            self._recognisers[language] = self._make_recogniser(language)
        return self._recognisers[language]

    def _analyzed(
        self, name: str, utterances: Iterable[Utterance], notes: list[str], progress: Progress
    ) -> list[TurnAnalysis]:
        """Predict one conversation and name what was found of each turn; those with nothing are left out."""
        encoded = list(self.predictor.encode(utterances, notes))
        if not encoded:
            return []
        progress("emotions", 0, len(encoded))
        more: list[str] = []
        found = self.predictor.predict_encoded([(name, encoded)], more)
        notes += unread_notes(found)
        notes += more
        progress("emotions", len(encoded), len(encoded))
        return self._named(found)

    def _named(self, found: TurnPredictions) -> list[TurnAnalysis]:
        """Put the predictions of turns into words."""
        predictions = found.predictions
        assert predictions.experts is not None  # a mixture has them
        assert predictions.present is not None
        temperature = torch.from_numpy(found.temperatures)
        probabilities = (torch.from_numpy(predictions.logits).double() / temperature).softmax(-1)
        experts = (torch.from_numpy(predictions.experts).double() / temperature[:, None]).softmax(-1)
        present = torch.from_numpy(predictions.present)
        assert predictions.shown is not None
        shown = [dict(zip(MODALITIES, row, strict=True)) for row in predictions.shown.tolist()]
        if predictions.gate is None:  # a model that weighs no experts
            gate = torch.zeros(present.shape, dtype=torch.float64)
        else:
            gate = torch.from_numpy(predictions.gate).double()
            # float32 sums to 1 within 1e-7 only
            gate = gate / gate.sum(-1, keepdim=True)
        return [
            self._turn(found.turns[i], probabilities[i], experts[i], gate[i], present[i], shown[i])
            for i in predictions.predicted.nonzero()[0].tolist()
        ]

    def _turn(
        self,
        utterance: Utterance,
        probabilities: Tensor,
        experts: Tensor,
        gate: Tensor,
        present: Tensor,
        shown: Mapping[str, bool],
    ) -> TurnAnalysis:
        scores = self.labels.scores(probabilities.tolist())
        emotion = max(scores, key=lambda label: scores[label])
        return TurnAnalysis(
            id=utterance.id,
            start=utterance.start,
            end=utterance.end,
            channel=utterance.channel,
            text=utterance.text if has_words(utterance.text) else None,
            emotion=emotion,
            confidence=scores[emotion],
            scores=scores,
            experts={
                name: self.labels.scores(experts[k].tolist()) if present[k] else None
                for k, name in enumerate(EXPERTS)
            },
            gate=dict(zip(EXPERTS, gate.tolist(), strict=True)),
            missing=tuple(name for name in ("speech", "text") if not shown[name]),
            uncertain=scores[emotion] < self.model.config.calibration.uncertain_below,
            asr_confidence=utterance.asr_confidence,
            text_uncertain=utterance.text_uncertain and has_words(utterance.text),
            language=utterance.language,
            notes=utterance.notes,
            words=utterance.words,
        )


def _is_recognised(given: Input) -> bool:
    """Whether the words of an input come from its sound, if it is a recording."""
    if given.transcript is not None or isinstance(given.source, Conversation):
        return False
    return isinstance(given.source, Sound) or not is_transcript(Path(given.source))


def _encoder_name(encoder: UtteranceEncoder | None) -> str | None:
    """What an encoder stands on, or its kind; None = the model has none."""
    return None if encoder is None else str(getattr(encoder.config, "base", encoder.kind))
