"""Stored conversations as a mixture takes them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


def only_judgeable(conversation: StoredConversation) -> StoredConversation:
    """Leave out the turns that have neither text nor speech."""
    return select_turns(conversation, (conversation.has_text | conversation.has_speech).nonzero().flatten())


def select_turns(conversation: StoredConversation, turns: Tensor) -> StoredConversation:
    """Some turns of a conversation.

    :param turns: int64 `[N]`, their places, rising; all of them cost nothing.
    """
    if len(turns) == len(conversation):
        return conversation
    return StoredConversation(
        conversation.id,
        tuple(conversation.ids[i] for i in turns.tolist()),
        None if conversation.text is None else conversation.text[turns],
        None if conversation.speech is None else conversation.speech[turns],
        conversation.has_text[turns],
        conversation.has_speech[turns],
        conversation.labels[turns],
    )


@dataclass(frozen=True)
class StoredConversation:
    """A conversation as stage 2 sees it.

    :param id: name of the conversation.
    :param ids: of its T turns.
    :param text: float32 `[T, D]`; zeros without words. None = the store has no text encoder.
    :param speech: float32 `[T, D]`; zeros without sound. None = the store has no speech encoder.
    :param has_text: bool `[T]`.
    :param has_speech: bool `[T]`.
    :param labels: int64 `[T]`, positions in the protocol's labels; -1 = unlabelled.
    """

    id: str
    ids: tuple[str, ...]
    text: Tensor | None
    speech: Tensor | None
    has_text: Tensor
    has_speech: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.ids)
