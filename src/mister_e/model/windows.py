"""Context networks on long conversations in bounded memory, in overlapping windows.

The influence of a turn on a convolution or a GRU fades within some tens of turns, so a window with
context at its ends gives nearly the same result. The fusion expert's attention reaches the whole
conversation and is not cut; what it keeps of a turn is only a few times as wide as the embeddings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mister_e.errors import InputError
from mister_e.model.context import ContextNetwork, forward_together
from mister_e.model.inputs import Inputs
from mister_e.model.packing import Packing

#: Turns in a batch of windows: several windows side by side are faster than one.
TURNS_PER_BATCH = 2048


@dataclass(frozen=True)
class Window:
    """How a long conversation is cut.

    :param turns: turns of a window at most; shorter conversations are not cut.
    :param overlap: turns at each end of a window that are context alone.
    """

    turns: int = 1024
    overlap: int = 128

    def __post_init__(self) -> None:
        if not 0 <= 2 * self.overlap < self.turns:
            raise InputError(
                f"window {self.turns}, overlap {self.overlap}: a window is wider than its two overlaps"
            )

    def spans(self, turns: int) -> Iterator[tuple[int, int, int, int]]:
        """Cut a conversation; the result of each turn comes from one window, away from its ends.

        :param turns: number of turns of the conversation.
        :return: of each window its first turn and the one after its last, then the first turn whose
            result is kept and the one after the last of those.
        """
        done = 0
        while done < turns:
            first = max(0, min(done - self.overlap, turns - self.turns))
            last = min(turns, first + self.turns)
            end = turns if last == turns else last - self.overlap
            yield first, last, done, end
            done = end


def forward_in_windows(
    networks: Sequence[ContextNetwork], turns: Sequence[Inputs], packing: Packing, window: Window
) -> list[tuple[Tensor, Tensor]]:
    """Run networks as `forward_together` does, with long conversations cut into windows.

    :param networks: of one configuration.
    :param turns: embeddings `[N, D]` for each, packed.
    :param packing: which turns make which conversation.
    :param window: how to cut.
    :return: logits `[N, C]` and representations `[N, H]` of each, packed.
    """
    parts: list[list[tuple[Tensor, Tensor]]] = [[] for _ in networks]
    start = 0
    for length in packing.lengths.tolist():
        spans = list(window.spans(length))
        count = max(1, TURNS_PER_BATCH // window.turns)
        for group in (spans[i : i + count] for i in range(0, len(spans), count)):
            # the windows of one conversation all have the same length
            size = group[0][1] - group[0][0]
            rows = torch.cat([torch.arange(start + first, start + last) for first, last, _, _ in group])
            windows = Packing.of(torch.ones(len(group), size, dtype=torch.bool, device=packing.mask.device))
            selected = [inputs.select_turns(rows.to(inputs.rows.device)) for inputs in turns]
            outputs = forward_together(networks, selected, windows)
            for network_parts, (logits, hidden) in zip(parts, outputs, strict=True):
                for number, (first, _, kept, end) in enumerate(group):
                    part = slice(number * size + kept - first, number * size + end - first)
                    network_parts.append((logits[part], hidden[part]))
        start += length
    return [
        (
            torch.cat([logits for logits, _ in network_parts]),
            torch.cat([hidden for _, hidden in network_parts]),
        )
        for network_parts in parts
    ]
