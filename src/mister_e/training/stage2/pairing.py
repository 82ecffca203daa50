"""Conversations for the mixture out of corpora that each hold one modality.

A table holds words, and statistics of its sound at most; corpora of clips hold voices without words of
their own. So that the fusion expert meets a full speech embedding beside words, conversations are also
shown with clips in place of their own speech: of the turn's label mostly, of any label sometimes, so that a
voice is evidence and not an oracle.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mister_e.corpora.base import Protocol
from mister_e.encoders.base import UtteranceEncoder, embed_recordings
from mister_e.encoders.conversations import StoredConversation
from mister_e.encoders.registry import find_encoder, load_encoder
from mister_e.encoders.store import EmbeddingStore
from mister_e.errors import InputError
from mister_e.labels import LabelSet, match_label
from mister_e.training.batching import balanced_draws
from mister_e.training.settings import PairingConfig

#: Turns of a recording of read speech, at least and at most: as few as a short call, as many as a scene.
RECORDING_TURNS = (4, 24)


@dataclass(frozen=True)
class Voices:
    """Clips of one split, encoded; the embedding of a clip depends on the recording that it is put into.

    :param encoder: of speech, by which they were encoded.
    :param features: float32 `[N, F]` of its `encode_turns`.
    :param labels: int64 `[N]`, positions among the labels of the mixture.
    :param corpora: the corpus of each, `[N]`.
    :param neutral: corpora of read speech of one label.
    """

    encoder: UtteranceEncoder
    features: Tensor
    labels: Tensor
    corpora: NDArray[np.str_]
    neutral: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def places(self) -> Mapping[str, NDArray[np.int64]]:
        """Corpus to the positions of its clips."""
        return {str(name): np.flatnonzero(self.corpora == name) for name in np.unique(self.corpora)}

    @cached_property
    def acted(self) -> Sequence[str]:
        """Corpora that are not read speech of one label."""
        return [name for name in self.places if name not in self.neutral]

    @cached_property
    def read(self) -> NDArray[np.int64]:
        """Positions of the clips of read speech."""
        own = [self.places[name] for name in self.places if name in self.neutral]
        return np.concatenate([np.zeros(0, np.int64), *own])

    def recording(self, positions: Sequence[int]) -> Tensor:
        """Embed clips as the turns of one recording.

        :param positions: T of them, repeated or not.
        :return: float32 `[T, D]`.
        """
        return self._embedded(self.features[positions], [len(positions)])

    @cached_property
    def alone(self) -> Tensor:
        """Each clip as a recording of its own: float32 `[N, D]`."""
        return self._embedded(self.features, [1] * len(self))

    def _embedded(self, features: Tensor, lengths: Sequence[int]) -> Tensor:
        """Embed clips as recordings of so many turns each."""
        there = torch.ones(len(features), dtype=torch.bool)
        # a copy, for training cannot take what was made in inference mode
        return embed_recordings(self.encoder, features, there, lengths).clone()

    def conversation(self, positions: Sequence[int]) -> StoredConversation:
        """Show clips as the turns of one conversation without words, cut from one recording."""
        return self._wordless(positions, self.recording(positions))

    def each_alone(self, positions: Sequence[int] | None = None) -> list[StoredConversation]:
        """Show each clip as a conversation of one turn without words.

        :param positions: None = all.
        """
        chosen = range(len(self)) if positions is None else positions
        return [self._wordless([place], self.alone[place : place + 1]) for place in chosen]

    def as_one_recording(self, positions: Sequence[int]) -> list[StoredConversation]:
        """Show each clip as a conversation of one turn, and all of them cut from one recording."""
        embeddings = self.recording(positions)
        return [self._wordless([place], embeddings[turn : turn + 1]) for turn, place in enumerate(positions)]

    def _wordless(self, positions: Sequence[int], embeddings: Tensor) -> StoredConversation:
        """Make a conversation of clips that are embedded."""
        places = list(positions)
        there = torch.ones(len(places), dtype=torch.bool)
        ids = tuple(f"{self.corpora[place]}-{place}-{turn}" for turn, place in enumerate(places))
        return StoredConversation(ids[0], ids, None, embeddings, ~there, there, self.labels[places])


@dataclass(frozen=True)
class VoiceStores:
    """Stores of clips that conversations are paired with, a corpus each.

    :param stores: of `mister-e embed`, each clip a conversation of one turn.
    :param encoder: of speech, which all their embeddings were made by.
    :param name: what people call the encoder.
    """

    stores: Sequence[EmbeddingStore]
    encoder: UtteranceEncoder
    name: str = ""

    @classmethod
    def load(cls, folders: Sequence[Path], encoder: str | None) -> VoiceStores | None:
        """Open stores and their encoder.

        :param folders: of the stores.
        :param encoder: of speech, by what people call it, see `mister_e.encoders.registry.find_encoder`.
        :return: None where neither is given.
        :raises InputError: one is given without the other, or is none.
        """
        if not folders and encoder is None:
            return None
        if not folders or encoder is None:
            given, missing = ("--voices", "--speech ENCODER") if folders else ("--speech", "--voices STORE")
            raise InputError(
                f"{given} without {missing}: clips are put into conversations by the encoder that all stores"
                " were made by; give both"
            )
        stores = [EmbeddingStore.load(folder) for folder in folders]
        loaded = load_encoder(find_encoder(encoder, "speech"))
        if loaded.modality != "speech":
            raise InputError(f"--speech {encoder}: that is an encoder of {loaded.modality}")
        return cls(stores, loaded.eval(), encoder)

    @property
    def corpora(self) -> dict[str, EmbeddingStore]:
        """Name of a corpus to its store."""
        return {corpus_name(store): store for store in self.stores}

    @property
    def sha256(self) -> dict[str, str]:
        """Name of a corpus to the SHA-256 of its table."""
        return {name: str(store.metadata["corpus_sha256"]) for name, store in self.corpora.items()}

    def check(self, store: EmbeddingStore) -> None:
        """Refuse stores that do not belong together.

        :param store: of the conversations.
        :raises InputError: a corpus comes twice, or embeddings are by another encoder; names both.
        """
        names = Counter(corpus_name(own) for own in self.stores)
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            folders = [str(own.folder) for own in self.stores if corpus_name(own) == twice[0]]
            raise InputError(f"--voices {' and '.join(folders)}: both are of {twice[0]}; give it once")
        identity = self.encoder.identity
        for own in (store, *self.stores):
            if "speech" not in own.metadata["encoders"]:
                raise InputError(f"{own.folder}: it holds no speech embeddings; run mister-e embed for them")
            made = own.metadata["encoders"]["speech"]
            if made["identity"] != identity:
                raise InputError(
                    f"{own.folder}: its speech embeddings are by {made['name'] or made['kind']}"
                    f" {made['identity'][:12]}…, but --speech is {self.name or self.encoder.kind}"
                    f" {identity[:12]}…; give the encoder of all stores, or embed again with it"
                )

    def clips(self, split: str, labels: LabelSet, neutral: Sequence[str] = ()) -> Voices:
        """Read the clips of a split; those without a label of the mixture are left out.

        :param split: "train", "validation" or "test".
        :param labels: of the mixture; the clips' are matched by name, see `mister_e.labels.match_label`.
        :param neutral: which corpora are read speech of one label.
        :raises InputError: there is no such corpus, one has no clip in this split, read speech has several
            labels, or there is nothing but read speech.
        """
        corpora = self.corpora
        unknown = [name for name in neutral if name not in corpora]
        if unknown:
            raise InputError(
                f"pairing.neutral_corpora names {unknown[0]!r}, but --voices are {', '.join(corpora)}"
            )
        if not set(corpora) - set(neutral):
            raise InputError(
                f"--voices are {', '.join(corpora)}, which pairing.neutral_corpora calls read speech of one"
                " label: give one of acted clips too"
            )
        features, numbers, names = [], [], []
        for name, store in corpora.items():
            own, found = _labelled(store, split, labels)
            if name in neutral and len(found.unique()) > 1:
                raise InputError(
                    f"{store.folder}: its {split} split has several labels, but pairing.neutral_corpora calls"
                    f" {name} read speech of one label; take it out there"
                )
            features.append(own)
            numbers.append(found)
            names += [name] * len(found)
        return Voices(
            self.encoder, torch.cat(features), torch.cat(numbers), np.array(names), frozenset(neutral)
        )

    def protocol(self, names: Sequence[str], labels: LabelSet) -> Protocol:
        """Say what scores over the clips of some corpora are of.

        :param names: of the corpora.
        :param labels: of the mixture.
        """
        own = [self.corpora[name].protocol for name in names]
        told = " ".join(protocol.description for protocol in own)
        return Protocol(", ".join(names), ", ".join(names), labels, told)

    def digest(self, names: Sequence[str]) -> str:
        """One SHA-256 over the tables of some corpora; of one corpus, that of its table."""
        listed = [self.sha256[name] for name in names]
        return listed[0] if len(listed) == 1 else hashlib.sha256("".join(listed).encode()).hexdigest()


def corpus_name(store: EmbeddingStore) -> str:
    """Name of a corpus of clips, as recipes and scores say it."""
    return store.protocol.name


def _labelled(store: EmbeddingStore, split: str, labels: LabelSet) -> tuple[Tensor, Tensor]:
    """Features `[N, F]` of a store's clips, and int64 `[N]` positions among the labels of a mixture."""
    features, found = store.turn_features("speech", split)
    matched = [match_label(name, labels) for name in store.protocol.labels]
    # the last place is for -1, the unlabelled
    places = torch.tensor([-1 if name is None else labels.index(name) for name in matched] + [-1])
    numbers = places[found]
    known = numbers >= 0
    if not known.any():
        raise InputError(
            f"{store.folder}: no clip of its {split} split has a label of the mixture"
            f" ({', '.join(labels)}); prepare the corpus with another split, or leave it out"
        )
    return features[known], numbers[known]


def replace_speech(
    conversation: StoredConversation,
    voices: Voices,
    agree: float,
    random: np.random.Generator,
    *,
    otherwise: bool = False,
) -> StoredConversation:
    """Put acted clips of one corpus in place of a conversation's own speech, as one recording.

    :param conversation: T turns.
    :param voices: where the clips come from.
    :param agree: probability that a clip has the turn's label; else it is any clip of the corpus.
    :param random: draws the corpus and the clips.
    :param otherwise: take clips of another label where they do not agree, and not any.
    """
    own = voices.places[str(random.choice(voices.acted))]
    labels = voices.labels.numpy()[own]
    rows = []
    for label in conversation.labels.tolist():
        same = own[labels == label]
        pool = own[labels != label] if otherwise else own
        if len(same) and (random.random() < agree or not len(pool)):
            pool = same
        rows.append(int(pool[random.integers(len(pool))]))
    everywhere = torch.ones(len(conversation), dtype=torch.bool)
    return replace(conversation, speech=voices.recording(rows), has_speech=everywhere)


def drop_modality(
    conversation: StoredConversation, *, speech: Tensor | None = None, text: Tensor | None = None
) -> StoredConversation:
    """Take modalities away at some turns; a turn keeps what it has alone.

    :param conversation: T turns.
    :param speech: bool `[T]`, True = take the speech away.
    :param text: bool `[T]`, True = take the text away.
    """
    has_speech, has_text = conversation.has_speech, conversation.has_text
    if speech is not None:
        has_speech = has_speech & ~(speech & has_text)
    if text is not None:
        has_text = has_text & ~(text & has_speech)
    return replace(conversation, has_speech=has_speech, has_text=has_text)


@dataclass(frozen=True)
class PairedSampler:
    """Draws the conversations of an epoch, see `PairingConfig`.

    :param config: how often what is shown.
    :param voices: training clips.
    """

    config: PairingConfig
    voices: Voices

    def epoch(
        self, conversations: Sequence[StoredConversation], seed: int, epoch: int
    ) -> list[StoredConversation]:
        """Draw an epoch: every conversation once, single clips, and recordings of read speech.

        In the last all is neutral: relative to a recording in which nothing happens, differences of voices
        and rooms must not become emotions.

        :param conversations: of training, each turn with text or speech.
        :param seed: of the run.
        :param epoch: another epoch, other draws; the same ones whenever it is asked for.
        :return: in random order.
        """
        random = np.random.default_rng((seed, epoch))
        config, voices = self.config, self.voices
        shown = [self._show(conversation, random) for conversation in conversations]
        if config.singles:
            drawn = balanced_draws(
                voices.labels.tolist(), voices.corpora.tolist(), config.singles, int(random.integers(2**31))
            )
            shown += voices.each_alone(drawn)
        fewest, most = RECORDING_TURNS
        for _ in range(config.neutral_recordings if len(voices.read) else 0):
            turns = random.choice(voices.read, int(random.integers(fewest, most + 1)))
            shown.append(voices.conversation(turns.tolist()))
        return [shown[place] for place in random.permutation(len(shown))]

    def _show(self, conversation: StoredConversation, random: np.random.Generator) -> StoredConversation:
        """Show a conversation in one of the three ways."""
        everywhere = torch.ones(len(conversation), dtype=torch.bool)
        draw = random.random()
        if draw < self.config.text_alone:
            return drop_modality(conversation, speech=everywhere)
        if draw < self.config.text_alone + self.config.paired:
            conversation = replace_speech(conversation, self.voices, self.config.agree, random)
            if random.random() < self.config.wordless:
                return drop_modality(conversation, text=everywhere)
        speech, text = torch.from_numpy(random.random((2, len(conversation))) < self.config.dropped)
        return drop_modality(conversation, speech=speech, text=text & ~speech)
