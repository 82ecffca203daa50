"""Long conversations in bounded memory: context networks read them in overlapping windows.

What a convolution or a GRU says of a turn fades within some tens of turns, so a window with context
at its ends says the same. The fusion expert's attention reaches everywhere and has no window; all
it keeps of a turn is a few times as wide as the turn's embeddings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mister_e.errors import InputError
from mister_e.model.context import ContextNetwork, read_together
from mister_e.model.inputs import Inputs
from mister_e.model.packing import Packing

#: Turns that are read at once, in several windows side by side.
TOGETHER = 2048


@dataclass(frozen=True)
class Window:
    """How a long conversation is cut.

    :param turns: of a window at most; shorter conversations are read whole.
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
        """Cut a conversation; each turn is judged in one window, away from its ends.

        :param turns: of the conversation.
        :return: of each window the first turn it reads and the one after its last, and of those it
            judges the first and the one after the last.
        """
        judged = 0
        while judged < turns:
            first = max(0, min(judged - self.overlap, turns - self.turns))
            last = min(turns, first + self.turns)
            end = turns if last == turns else last - self.overlap
            yield first, last, judged, end
            judged = end


def read_in_windows(
    networks: Sequence[ContextNetwork], turns: Sequence[Inputs], packing: Packing, window: Window
) -> list[tuple[Tensor, Tensor]]:
    """Let networks read, as `read_together` does, a long conversation in windows.

    :param networks: of one configuration.
    :param turns: embeddings `[N, D]` for each, packed.
    :param packing: which turns make which conversation.
    :param window: how to cut.
    :return: logits `[N, C]` and representations `[N, H]` of each, packed.
    """
    found: list[list[tuple[Tensor, Tensor]]] = [[] for _ in networks]
    start = 0
    for length in packing.lengths.tolist():
        spans = list(window.spans(length))
        count = max(1, TOGETHER // window.turns)
        for group in (spans[i : i + count] for i in range(0, len(spans), count)):
            # the windows of one conversation are all as long
            size = group[0][1] - group[0][0]
            rows = torch.cat([torch.arange(start + first, start + last) for first, last, _, _ in group])
            here = Packing.of(torch.ones(len(group), size, dtype=torch.bool, device=packing.mask.device))
            shown = [one.select_turns(rows.to(one.rows.device)) for one in turns]
            for each, said in zip(found, read_together(networks, shown, here), strict=True):
                for number, (first, _, judged, end) in enumerate(group):
                    part = slice(number * size + judged - first, number * size + end - first)
                    each.append((said[0][part], said[1][part]))
        start += length
    return [(torch.cat([a for a, _ in each]), torch.cat([b for _, b in each])) for each in found]
