"""From the turns of conversations to what the mixture takes, by any encoders.

Sound is encoded in groups of turns and let go; words are read when all turns are there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mister_e.audio.format import SAMPLE_RATE
from mister_e.conversation import OTHER_LANGUAGE, Clip, Conversation, Utterance, has_words
from mister_e.encoders.base import UtteranceEncoder, embed, embed_recordings
from mister_e.encoders.conversations import StoredConversation

#: Sound that is held before it is encoded, in seconds: enough for batches, little for memory.
GROUP_SECONDS = 60.0
#: Turns that are held at most, for those without sound.
GROUP_TURNS = 64


@dataclass(frozen=True)
class EncodedTurn:
    """What stays of a turn when its sound is let go.

    :param utterance: without its sound.
    :param speech: float32 `[F]` of the speech encoder's `encode_turns`; None = speech is missing.
    """

    utterance: Utterance
    speech: Tensor | None


def encode_speech(
    utterances: Iterable[Utterance], encoder: UtteranceEncoder | None, notes: list[str]
) -> Iterator[EncodedTurn]:
    """Encode the sound of turns group by group; the sound of one group alone is in memory.

    :param utterances: of any number of conversations, one after the other. One without sound may carry
        what its corpus tells of it (`custom["features"]`), which some encoders take.
    :param encoder: of speech; None = no sound is listened to.
    :param notes: what was not encoded is appended here.
    :raises InputError: a recording cannot be read, or what a corpus tells is no number.
    """
    if encoder is None:
        yield from (EncodedTurn(replace(utterance, audio=None), None) for utterance in utterances)
        return
    for group in _groups(utterances):
        if encoder.max_seconds is not None:
            notes += [
                f"{turn.id}: only its first {encoder.max_seconds:.0f} s were heard"
                for turn in group
                if turn.audio is not None and _seconds(turn.audio) > encoder.max_seconds + 1
            ]
        features, present = encoder.encode_turns([_as_conversation(group)])
        for turn, row, there in zip(group, features, present.tolist(), strict=True):
            yield EncodedTurn(replace(turn, audio=None), row if there else None)


@torch.inference_mode()
def embed_conversations(
    conversations: Sequence[tuple[str, Sequence[EncodedTurn]]],
    text_encoder: UtteranceEncoder | None,
    speech_encoder: UtteranceEncoder | None,
    notes: list[str],
    *,
    together: bool = False,
) -> list[StoredConversation]:
    """Read the words of conversations and join their speech; all of them together.

    :param conversations: id and T turns of each.
    :param text_encoder: None = no words are read.
    :param speech_encoder: that of `encode_speech`.
    :param notes: what was not read is appended here.
    :param together: whether all conversations are cut from one recording, which speech is relative to;
        False = each is a recording of its own.
    :return: as given, unlabelled; a turn may lack words, sound or both.
    """
    turns = [turn for _, own in conversations for turn in own]
    lengths = [len(own) for _, own in conversations]
    none = torch.zeros(len(turns), dtype=torch.bool)
    text, has_text, speech, has_speech = None, none, None, none
    if speech_encoder is not None:
        features = torch.zeros(len(turns), speech_encoder.feature_dim)
        has_speech = torch.tensor([turn.speech is not None for turn in turns], dtype=torch.bool)
        if has_speech.any():
            features[has_speech] = torch.stack([turn.speech for turn in turns if turn.speech is not None])
        recordings = [len(turns)] if together else lengths
        speech = embed_recordings(speech_encoder, features, has_speech, recordings)
    if text_encoder is not None:
        # ids are for people here: turns of two conversations may share them, and none is looked up
        words = [
            Conversation(name, tuple(Utterance(str(i), _read(turn.utterance)) for i, turn in enumerate(own)))
            for name, own in conversations
        ]
        text, has_text = embed(text_encoder, words)
        notes += text_encoder.notes(words)
    result, first = [], 0
    for name, own in conversations:
        last = first + len(own)
        result.append(
            StoredConversation(
                name,
                tuple(turn.utterance.id for turn in own),
                None if text is None else text[first:last],
                None if speech is None else speech[first:last],
                has_text[first:last],
                has_speech[first:last],
                torch.full((len(own),), -1, dtype=torch.int64),
            )
        )
        first = last
    return result


def note_languages(utterances: Iterable[Utterance], languages: Sequence[str]) -> Iterator[Utterance]:
    """Note the turns with words of a language that a model does not read.

    :param utterances: one whose language is not known is taken to be read; what another model noted does not
        count.
    :param languages: codes that the model is meant for, as `en`; none = any.
    """
    read = {_main(language) for language in languages}
    for turn in utterances:
        other = bool(read) and turn.language is not None and _main(turn.language) not in read
        if other != (OTHER_LANGUAGE in turn.notes):
            kept = tuple(note for note in turn.notes if note != OTHER_LANGUAGE)
            turn = replace(turn, notes=(*kept, OTHER_LANGUAGE) if other and has_words(turn.text) else kept)
        yield turn


def _main(language: str) -> str:
    """The language of a code, without its country: `pt` of `pt-BR`."""
    return re.split("[-_]", language.casefold(), maxsplit=1)[0]


def _read(utterance: Utterance) -> str | None:
    """The words that are read: none that are uncertain, or of another language."""
    hidden = utterance.text_uncertain or OTHER_LANGUAGE in utterance.notes
    return None if hidden else utterance.text


def _as_conversation(group: Sequence[Utterance]) -> Conversation:
    """Take a group as one conversation; turns of several conversations that share ids are numbered anew."""
    if len({turn.id for turn in group}) < len(group):
        group = [replace(turn, id=str(number)) for number, turn in enumerate(group)]
    return Conversation("group", tuple(group))


def _seconds(clip: Clip) -> float:
    return 0.0 if clip.samples is None else len(clip.samples) / SAMPLE_RATE


def _groups(utterances: Iterable[Utterance]) -> Iterator[list[Utterance]]:
    """Gather turns with their sound, decoded once, until it is worth a few batches."""
    group: list[Utterance] = []
    seconds = 0.0
    for utterance in utterances:
        if utterance.audio is not None:
            clip = Clip(samples=utterance.audio.load())
            seconds += _seconds(clip)
            group.append(replace(utterance, audio=clip))
        else:
            group.append(utterance)
        if seconds >= GROUP_SECONDS or len(group) >= GROUP_TURNS:
            yield group
            group, seconds = [], 0.0
    if group:
        yield group
