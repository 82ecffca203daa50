"""From the words of conversations to prompts: what a text encoder reads at once.

A prompt is `[start] instruction, turns each with its end mark`. It reads out one turn, or
`turns_per_prompt` of them: a causal model sees nothing of what follows a turn, and a bidirectional one
is kept from it (see `turn_mask`), so that one pass over a stretch of conversation embeds all of its turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mister_e.conversation import has_words
from mister_e.encoders.base import Example


@dataclass(frozen=True)
class Prompt:
    """Token ids, and where the turns that are read out stand in them.

    :param ids: L token ids.
    :param spans: first and last + 1 position of each turn that is read out, its end mark included.
    :param lengths: tokens of the head (what is before all turns), then of each turn, history included.
    :param start: tokens at the beginning that belong to every turn, such as `[CLS]`.
    """

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    lengths: tuple[int, ...]
    start: int


@dataclass(frozen=True)
class Marks:
    """The tokens around turns, as a tokenizer's family has them.

    :param start: before everything: `[CLS]`, a begin-of-text, or nothing.
    :param end: after every turn: `[SEP]`, or a line's end.
    :param pooled: whether the start tells about the turn (a bidirectional model's `[CLS]`).
    """

    start: tuple[int, ...]
    end: tuple[int, ...]
    pooled: bool

    @classmethod
    def of(cls, tokenizer: Any) -> Marks:
        """Read them off a tokenizer."""
        if tokenizer.sep_token_id is not None and tokenizer.cls_token_id is not None:
            return cls((tokenizer.cls_token_id,), (tokenizer.sep_token_id,), pooled=True)
        line = tuple(tokenizer("\n", add_special_tokens=False)["input_ids"])
        start = () if tokenizer.bos_token_id is None else (tokenizer.bos_token_id,)
        return cls(start, line or (tokenizer.eos_token_id,), pooled=False)


def prompts(
    conversations: Sequence[Sequence[str | None]],
    tokenizer: Any,
    *,
    instruction: str | None,
    history: int,
    turns_per_prompt: int,
    max_tokens: int,
    max_prompt_tokens: int,
) -> list[Example]:
    """Cut conversations into prompts.

    A turn without words is skipped: it is neither read out nor history.

    :param conversations: the words of every turn, in order; turns are numbered through, from 0.
    :param tokenizer: of the encoder.
    :param instruction: said once, before the turns.
    :param history: turns with words before those that are read out.
    :param turns_per_prompt: turns that one prompt reads out.
    :param max_tokens: a longer turn loses its end.
    :param max_prompt_tokens: a longer prompt loses its oldest history, turn by turn, and then
        is cut between the turns that it reads out.
    :return: one example a prompt; its cost is its tokens.
    """
    marks = Marks.of(tokenizer)
    # what stands before several turns is none of theirs
    pooled = marks.pooled and turns_per_prompt == 1
    head = [*marks.start]
    if instruction:
        head += [*tokenizer(instruction, add_special_tokens=False)["input_ids"], *marks.end]
    examples: list[Example] = []
    numbered = 0
    for words in conversations:
        spoken = [i for i, text in enumerate(words) if has_words(text)]
        texts = [words[i] for i in spoken]
        ids: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
        room = max_tokens - (0 if history or turns_per_prompt > 1 else len(head))
        room = min(room, max_prompt_tokens - len(head)) - len(marks.end)
        turns = [(*tokens[: max(1, room)], *marks.end) for tokens in ids]
        first = 0
        while first < len(turns):
            last = first + 1
            most = max_prompt_tokens - len(head)
            size = len(turns[first])
            while last < len(turns) and last - first < turns_per_prompt and size + len(turns[last]) <= most:
                size += len(turns[last])
                last += 1
            before = first
            while before > 0 and first - before < history and size + len(turns[before - 1]) <= most:
                before -= 1
                size += len(turns[before])
            examples.append(
                _example(
                    head,
                    turns,
                    before,
                    first,
                    last,
                    marks,
                    pooled,
                    [numbered + i for i in spoken[first:last]],
                )
            )
            first = last
        numbered += len(words)
    return examples


def _example(
    head: list[int],
    turns: Sequence[tuple[int, ...]],
    before: int,
    first: int,
    last: int,
    marks: Marks,
    pooled: bool,
    numbers: list[int],
) -> Example:
    """Join the turns `before` to `last`; those from `first` on are read out."""
    ids = [*head]
    spans = []
    for i in range(before, last):
        if i >= first:
            spans.append((len(ids), len(ids) + len(turns[i])))
        ids += turns[i]
    lengths = (len(head), *(len(turns[i]) for i in range(before, last)))
    start = len(marks.start) if pooled else 0
    return Example(tuple(numbers), len(ids), Prompt(tuple(ids), tuple(spans), lengths, start))


def turn_mask(read: Sequence[Prompt], longest: int) -> Tensor:
    """Let each token of a prompt see its own turn, the turns before it and the head; no later turn.

    So a bidirectional model, too, embeds each turn as if the later ones were not there. The head sees
    itself alone.

    :param read: B prompts.
    :param longest: L, the length that they are padded to.
    :return: bool `[B, 1, L, L]`, True = row may look at column; a pad sees all that is real.
    """
    turn = torch.full((len(read), longest), -1)
    for row, prompt in enumerate(read):
        numbers = torch.arange(len(prompt.lengths)).repeat_interleave(torch.tensor(prompt.lengths))
        turn[row, : len(numbers)] = numbers
    real = turn >= 0
    reach = torch.where(real, turn, longest)
    seen = real[:, None, :] & (turn[:, None, :] <= reach[:, :, None])
    return seen[:, None]
