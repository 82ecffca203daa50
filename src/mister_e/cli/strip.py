"""A whole conversation as one line of coloured blocks with letters, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from mister_e.analysis.strip import cells, layout
from mister_e.analysis.turns import ConversationAnalysis
from mister_e.analysis.wording import LONGEST_CLOCK, clock
from mister_e.cli.messages import plain
from mister_e.labels import colour

#: Where nobody speaks.
SILENCE = "·"

_MARKS = 4


def letters(labels: Sequence[str]) -> dict[str, str]:
    """Give every label a capital of its own: its first letter that no label before it has.

    Letters that are two cells wide, as Chinese ones are, would make the line longer than the conversation:
    a label of such alone has `*`.

    :param labels: in the model's order, so that a letter means the same in every conversation.
    """
    given: dict[str, str] = {}
    for label in labels:
        capitals = (letter.upper() for letter in plain(label) if letter.isalnum())
        free = (capital for capital in capitals if len(capital) == 1 and cell_len(capital) == 1)
        given[label] = next((letter for letter in free if letter not in given.values()), "*")
    return given


def strip(conversation: ConversationAnalysis, key: Mapping[str, str], console: Console) -> Text:
    """Draw the emotion that has most of each piece of the conversation, and the times below it.

    :param key: letter of each emotion; it stands where an emotion begins, and in every cell of a console
        without colours.
    :param console: whose width and colours to use.
    :return: two lines; one where the turns have no times.
    """
    place = layout(conversation)
    width = console.width if place.timed else min(console.width, len(conversation))
    emotions = [cell.emotion for cell in cells(conversation, place.spans, width)]
    coloured = console.color_system is not None and not console.no_color
    line = Text(no_wrap=True)
    for before, emotion in pairwise([None, *emotions]):
        if emotion is None:
            line.append(SILENCE, style="dim")
        else:
            letter = " " if coloured and emotion == before else key[emotion]
            line.append(letter, style=f"black on {colour(emotion)}" if coloured else "")
    if place.timed and place.length < LONGEST_CLOCK:
        line.append("\n")
        line.append(_axis(place.length, width), style="dim")
    return line


def _axis(seconds: float, width: int) -> str:
    """Times at quarters of the line, as many as fit."""
    axis = ""
    for k in range(_MARKS):
        column, label = k * width // _MARKS, clock(k * seconds / _MARKS)
        if not axis or (len(axis) < column and column + len(label) <= width):
            axis = axis.ljust(column) + label
    return axis
