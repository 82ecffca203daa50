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
from torch import Tensor

from mister_e.encoders.front_end import Heard, centred
from mister_e.encoders.speech import SpeechEncoder
from mister_e.encoders.text import TextEncoder
from mister_e.training.mixture import Embedded
from mister_e.training.speech import LabelledSpeech, balanced_draws
from mister_e.training.turns import TableConversation


@dataclass(frozen=True)
class Voices:
    """Acted clips, embedded.

    :param speech: `[N, Ds]`.
    :param labels: int64 `[N]`.
    :param groups: the corpus of each.
    """

    speech: Tensor
    labels: Tensor
    groups: Sequence[str]


def table_embedded(
    conversations: Sequence[TableConversation], text: TextEncoder, speech: SpeechEncoder
) -> list[Embedded]:
    """Embed a table's conversations: words, and statistics without frames.

    :param conversations: T turns each.
    :param text: fine-tuned.
    :param speech: trained.
    """
    words = [turn for one in conversations for turn in one.texts]
    spoken = [bool(turn.strip()) for turn in words]
    embedded = text.embed_words([one.texts for one in conversations])
    result, first = [], 0
    for one in conversations:
        last = first + len(one)
        statistics = torch.from_numpy(centred(one.statistics))
        pooled = speech.pool_heard([Heard(None, row) for row in one.statistics])
        with torch.inference_mode():
            sound = speech.eval().join(pooled, statistics)
        result.append(
            Embedded(
                embedded[first:last].clone(),
                sound.clone(),
                torch.tensor(spoken[first:last]),
                torch.from_numpy(one.heard),
                torch.tensor(one.labels),
            )
        )
        first = last
    return result


def voices(turns: LabelledSpeech, speech: SpeechEncoder) -> Voices:
    """Embed acted clips, each a recording of its own."""
    pooled = speech.pool_heard(turns.heard)
    statistics = torch.from_numpy(np.stack([turn.statistics for turn in turns.heard]))
    with torch.inference_mode():
        embedded = speech.eval().join(pooled, statistics)
    return Voices(embedded.clone(), torch.tensor(turns.labels), turns.groups)


def acted_alone(acted: Voices, text_dim: int, positions: Sequence[int] | None = None) -> list[Embedded]:
    """Each clip as a conversation of one turn without words.

    :param acted: the clips.
    :param text_dim: width of the text embedding that is missing.
    :param positions: which clips; None = all.
    """
    chosen = range(len(acted.labels)) if positions is None else positions
    return [
        Embedded(
            torch.zeros(1, text_dim),
            acted.speech[i : i + 1],
            torch.tensor([False]),
            torch.tensor([True]),
            acted.labels[i : i + 1],
        )
        for i in chosen
    ]


def with_voices(conversation: Embedded, acted: Voices, agree: float, random: np.random.Generator) -> Embedded:
    """Put acted clips in place of a conversation's own sound.

    :param conversation: `[T]` turns.
    :param acted: where the clips come from.
    :param agree: chance that a clip has the turn's emotion; else it is any clip.
    :param random: draws the clips.
    """
    rows = []
    for label in conversation.labels:
        same = torch.nonzero(acted.labels == label).flatten()
        pool = same if len(same) and random.random() < agree else torch.arange(len(acted.labels))
        rows.append(acted.speech[pool[int(random.integers(len(pool)))]])
    everywhere = torch.ones(len(conversation), dtype=torch.bool)
    return replace(conversation, speech=torch.stack(rows), has_speech=everywhere)


def without(conversation: Embedded, *, speech: Tensor | None = None, text: Tensor | None = None) -> Embedded:
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
class Pairing:
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

    def epoch(self, table: Sequence[Embedded], acted: Voices, seed: int) -> list[Embedded]:
        """Draw an epoch: every conversation once, and `singles` clips alone.

        :param table: MELD's conversations.
        :param acted: training clips.
        :param seed: of this epoch.
        """
        random = np.random.default_rng(seed)
        shown = [self._show(conversation, acted, random) for conversation in table]
        drawn = balanced_draws(acted.labels.tolist(), acted.groups, self.singles, seed)
        shown += acted_alone(acted, table[0].text.shape[1], drawn)
        return [shown[i] for i in random.permutation(len(shown))]

    def _show(self, conversation: Embedded, acted: Voices, random: np.random.Generator) -> Embedded:
        everywhere = torch.ones(len(conversation), dtype=torch.bool)
        draw = random.random()
        if draw < self.text_alone:
            return without(conversation, speech=everywhere)
        if draw < self.text_alone + self.paired:
            conversation = with_voices(conversation, acted, self.agree, random)
            if random.random() < self.wordless:
                return without(conversation, text=everywhere)
        dropped = torch.from_numpy(random.random((2, len(conversation))) < self.dropped)
        return without(conversation, speech=dropped[0], text=dropped[1] & ~dropped[0])
