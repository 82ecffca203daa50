"""Conversations for the mixture out of corpora that each hold one modality.

MELD's table holds words and statistics of its sound, acted corpora hold voices without words of
their own. So that the fusion expert meets a full speech embedding beside words, turns of MELD are
also shown with an acted clip in place of their own sound: of the same emotion mostly, of any
emotion sometimes, so that a voice is evidence and not an oracle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mister_e.encoders.speech.frontend import AudioFeatures
from mister_e.encoders.speech.whisper import WhisperEncoder
from mister_e.encoders.text.encoder import TextEncoder
from mister_e.training.batching import balanced_draws
from mister_e.training.mixture import Embedded
from mister_e.training.stage1.acted_speech import PLAIN, Judged
from mister_e.training.turns import TableConversation


@dataclass(frozen=True)
class Voices:
    """Acted clips, heard and pooled; what they become depends on the recording they are put in.

    :param encoder: trained.
    :param pooled: `[N, 768]`.
    :param statistics: float32 `[N, 8]`.
    :param labels: int64 `[N]`.
    :param groups: the corpus of each, `[N]`.
    """

    encoder: WhisperEncoder
    pooled: Tensor
    statistics: NDArray[np.float32]
    labels: Tensor
    groups: NDArray[np.str_]

    @torch.inference_mode()
    def recording(self, positions: Sequence[int]) -> Tensor:
        """Embed some clips as the turns of one recording, `[T, Ds]`."""
        return self.encoder.embed_recording(self.pooled[positions], self.statistics[positions]).clone()


@torch.inference_mode()
def table_embedded(
    conversations: Sequence[TableConversation], text: TextEncoder, speech: WhisperEncoder
) -> list[Embedded]:
    """Embed a table's conversations: words, and statistics without sound.

    :param conversations: T turns each.
    :param text: fine-tuned.
    :param speech: trained.
    """
    embedded = text.embed_words([one.texts for one in conversations])
    result, first = [], 0
    for one in conversations:
        last = first + len(one)
        pooled = speech.pool_heard([AudioFeatures(None, row) for row in one.statistics])
        result.append(
            Embedded(
                embedded[first:last].clone(),
                speech.eval().embed_recording(pooled, one.statistics).clone(),
                torch.tensor([bool(turn.strip()) for turn in one.texts]),
                torch.from_numpy(one.heard),
                torch.tensor(one.labels),
            )
        )
        first = last
    return result


def voices(judged: Judged) -> Voices:
    """Pool acted clips."""
    return Voices(
        judged.encoder,
        judged.encoder.eval().pool_heard(judged.heard),
        np.stack([turn.statistics for turn in judged.heard]),
        torch.from_numpy(judged.labels),
        judged.groups,
    )


def acted_alone(acted: Voices, text_dim: int, positions: Sequence[int] | None = None) -> list[Embedded]:
    """Each clip as a conversation of one turn without words.

    :param acted: the clips.
    :param text_dim: width of the text embedding that is missing.
    :param positions: which clips; None = all.
    """
    chosen = range(len(acted.labels)) if positions is None else positions
    return [clips_as_turns(acted, text_dim, [i]) for i in chosen]


def acted_together(acted: Voices, text_dim: int, positions: Sequence[int]) -> list[Embedded]:
    """Each clip as a conversation of one turn without words, and all of them cut from one recording."""
    whole = clips_as_turns(acted, text_dim, positions)
    return [
        Embedded(
            whole.text[one],
            whole.speech[one],
            whole.has_text[one],
            whole.has_speech[one],
            whole.labels[one],
        )
        for one in (slice(i, i + 1) for i in range(len(positions)))
    ]


def replace_speech(
    conversation: Embedded,
    acted: Voices,
    agree: float,
    random: np.random.Generator,
    *,
    otherwise: bool = False,
) -> Embedded:
    """Put acted clips of one corpus in place of a conversation's own sound, as one recording.

    :param conversation: `[T]` turns.
    :param acted: where the clips come from.
    :param agree: chance that a clip has the turn's emotion; else it is any clip of the corpus.
    :param random: draws the corpus and the clips.
    :param otherwise: take clips of another emotion where they do not agree, and not any.
    """
    group = random.choice(np.unique(acted.groups[acted.groups != PLAIN]))
    mine = np.flatnonzero(acted.groups == group)
    labels = acted.labels.numpy()[mine]
    rows = []
    for label in conversation.labels.tolist():
        same = mine[labels == label]
        pool = mine[labels != label] if otherwise else mine
        if len(same) and random.random() < agree:
            pool = same
        rows.append(int(pool[random.integers(len(pool))]))
    everywhere = torch.ones(len(conversation), dtype=torch.bool)
    return replace(conversation, speech=acted.recording(rows), has_speech=everywhere)


def clips_as_turns(acted: Voices, text_dim: int, positions: Sequence[int]) -> Embedded:
    """Some clips as the turns of one conversation without words.

    :param acted: where the clips come from.
    :param text_dim: width of the text embedding that is missing.
    :param positions: which clips, T of them.
    """
    there = torch.ones(len(positions), dtype=torch.bool)
    nothing = torch.zeros(len(positions), text_dim)
    return Embedded(nothing, acted.recording(positions), ~there, there, acted.labels[list(positions)])


def drop_modality(
    conversation: Embedded, *, speech: Tensor | None = None, text: Tensor | None = None
) -> Embedded:
    """Take modalities away at some turns; a turn that would lose both keeps its own.

    :param conversation: `[T]` turns.
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
class PairingConfig:
    """How an epoch is mixed.

    Each MELD conversation is shown in one of four ways, by chance: with acted voices
    (`paired`, of which `wordless` lose all their words), with its own statistics, or as text alone
    (`text_alone`). In the first two, turns lose a modality by chance (`dropped`).
    """

    agree: float = 0.6
    paired: float = 0.45
    wordless: float = 0.2
    text_alone: float = 0.25
    dropped: float = 0.1
    singles: int = 1500
    plain: int = 60

    def epoch(self, table: Sequence[Embedded], acted: Voices, seed: int) -> list[Embedded]:
        """Draw an epoch: every conversation once, `singles` clips alone, `plain` recordings of read speech.

        The last are 4 to 24 clips of many readers, all neutral: relative to a recording in which nothing
        happens, differences of voices and rooms must not become emotions.

        :param table: MELD's conversations.
        :param acted: training clips.
        :param seed: of this epoch.
        """
        random = np.random.default_rng(seed)
        shown = [self._show(conversation, acted, random) for conversation in table]
        drawn = balanced_draws(acted.labels.tolist(), acted.groups.tolist(), self.singles, seed)
        shown += acted_alone(acted, table[0].text.shape[1], drawn)
        read = np.flatnonzero(acted.groups == PLAIN)
        for _ in range(self.plain if len(read) else 0):
            turns = random.choice(read, int(random.integers(4, 25))).tolist()
            shown.append(clips_as_turns(acted, table[0].text.shape[1], turns))
        return [shown[i] for i in random.permutation(len(shown))]

    def _show(self, conversation: Embedded, acted: Voices, random: np.random.Generator) -> Embedded:
        everywhere = torch.ones(len(conversation), dtype=torch.bool)
        draw = random.random()
        if draw < self.text_alone:
            return drop_modality(conversation, speech=everywhere)
        if draw < self.text_alone + self.paired:
            conversation = replace_speech(conversation, acted, self.agree, random)
            if random.random() < self.wordless:
                return drop_modality(conversation, text=everywhere)
        dropped = torch.from_numpy(random.random((2, len(conversation))) < self.dropped)
        return drop_modality(conversation, speech=dropped[0], text=dropped[1] & ~dropped[0])
