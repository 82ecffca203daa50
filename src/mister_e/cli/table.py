"""An analysis as a table for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from mister_e.analysis.result import Analysis
from mister_e.analysis.turns import ConversationAnalysis, Scores, TurnAnalysis
from mister_e.analysis.wording import MARK, WORDS_MARK, clock, explain_uncertainty, marked
from mister_e.cli.messages import plain
from mister_e.experts import EXPERTS
from mister_e.labels import colour

#: The letter of each expert in the gate's bar and its colours, apart even in a terminal of 16.
EXPERT_STYLES = {
    "speech": ("S", "black on yellow"),
    "text": ("T", "black on cyan"),
    "fusion": ("F", "black on magenta"),
}

#: Cells of the gate's bar: one for each tenth of the weight.
CELLS = 10

#: A turn's text is cut after this many lines, so that a screen shows several turns.
MAX_TEXT_LINES = 3

LEGEND = "trust: how much each expert weighed, S speech, T text, F fusion."
LIMITS = "Estimates of what is expressed, often wrong; not what anyone feels or intends."


def render(analysis: Analysis, console: Console) -> str:
    """Draw one table a conversation.

    :param analysis: what to show.
    :param console: whose width and colours to use; nothing is printed on it.
    :return: the text, with colour codes where the console has colours.
    """
    with console.capture() as captured:
        for conversation in analysis.conversations:
            for part in _conversation(conversation, str(analysis.model.get("name", "?")), console):
                console.print(part)
            console.print()
        if len(analysis):
            console.print(Text("\n".join(_legend(analysis)), style="dim"))
    # a table pads its rows with spaces that a file or pipe has no use for
    return "".join(line.rstrip() + "\n" for line in captured.get().splitlines())


def _legend(analysis: Analysis) -> Iterator[str]:
    """Yield the lines that explain what was drawn."""
    if any(turn.trusted for turn in analysis):
        yield LEGEND
    if any(turn.uncertain for turn in analysis):
        yield f"{MARK} uncertain: {explain_uncertainty(analysis.uncertain_below)}."
    if any(turn.text_uncertain for turn in analysis):
        yield f"{WORDS_MARK} uncertain words: recognised, and not read by the model."
    yield LIMITS


def gate_cells(gate: Scores) -> list[str]:
    """Divide the bar's cells among the experts by their weights, largest remainders first.

    :param gate: weight of each expert; they sum to 1.
    :return: `CELLS` names of experts, in the experts' order.
    """
    exact = {name: gate[name] * CELLS for name in EXPERTS}
    cells = {name: int(exact[name]) for name in EXPERTS}
    by_remainder = sorted(EXPERTS, key=lambda name: cells[name] - exact[name])
    for name in by_remainder[: CELLS - sum(cells.values())]:
        cells[name] += 1
    return [name for name in EXPERTS for _ in range(cells[name])]


def _conversation(
    conversation: ConversationAnalysis, model: str, console: Console
) -> Iterator[RenderableType]:
    """Yield the heading, the turns and the summary of one conversation."""
    name = Path(conversation.source).name if conversation.source else conversation.id
    length = "" if conversation.duration is None else f" · {clock(conversation.duration)}"
    turns = "1 turn" if len(conversation) == 1 else f"{len(conversation)} turns"
    yield Text(plain(f"{name}{length} · {turns} · model {model}"), style="bold")
    if len(conversation):
        yield _turns(conversation, console)
        yield _summary(conversation)


def _turns(conversation: ConversationAnalysis, console: Console) -> Table:
    """Lay out one row a turn; the text takes the width that the other columns leave."""
    timed = any(turn.start is not None for turn in conversation)
    split = any(turn.channel is not None for turn in conversation)
    times = [_time(turn, number) for number, turn in enumerate(conversation, 1)]
    widths = {"time" if timed else "turn": max(4, *map(len, times))}
    if split:
        widths["ch"] = 2
    emotions = [marked(turn.emotion, uncertain=turn.uncertain) for turn in conversation]
    right_widths = {"emotion": max(7, *map(len, emotions)), "sure": 4}
    weighed = any(turn.trusted for turn in conversation)
    if weighed:
        right_widths["trust"] = CELLS
    gaps = 2 * (len(widths) + len(right_widths))  # padding and divider
    used_width = sum(widths.values()) + sum(right_widths.values()) + gaps
    widths |= {"text": max(10, console.width - used_width)} | right_widths

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for name, width in widths.items():
        table.add_column(name, width=width, justify="right" if name in ("turn", "sure") else "left")
    for time, turn, emotion in zip(times, conversation, emotions, strict=True):
        table.add_row(
            time,
            *([_channel(turn)] if split else []),
            _words(turn, widths["text"], console),
            Text(emotion, style=colour(turn.emotion)),
            f"{turn.confidence:.0%}",
            *([_bar(turn.gate)] if weighed else []),
        )
    return table


def _time(turn: TurnAnalysis, number: int) -> str:
    """Times of a turn, or its number where none is known."""
    if turn.start is None:
        return str(number)
    return clock(turn.start) if turn.end is None else f"{clock(turn.start)}-{clock(turn.end)}"


def _channel(turn: TurnAnalysis) -> str:
    """Channel of the turn as in JSON, or nothing."""
    return "" if turn.channel is None else str(turn.channel)


def _words(turn: TurnAnalysis, width: int, console: Console) -> Text:
    """Return the words of a turn in at most `MAX_TEXT_LINES` lines."""
    if turn.text is None:
        return Text("(no words)", style="dim")
    mark = f" {WORDS_MARK}" if turn.text_uncertain else ""
    style = "dim" if turn.text_uncertain else ""
    lines = list(Text(plain(turn.text) + mark, style=style).wrap(console, width))
    if len(lines) > MAX_TEXT_LINES:
        lines = lines[:MAX_TEXT_LINES]
        lines[-1].truncate(width - 1 - len(mark))
        lines[-1].append(f"…{mark}")
    return Text("\n").join(lines)


def _bar(gate: Scores) -> Text:
    """Draw the gate's weights as coloured letters; none if the model weighs no experts."""
    if not any(gate.values()):
        return Text()
    return Text.assemble(*(EXPERT_STYLES[name] for name in gate_cells(gate)))


def _summary(conversation: ConversationAnalysis) -> Text:
    """Count the turns of each emotion, the most frequent first."""
    counts = Counter(turn.emotion for turn in conversation).most_common()
    parts = [Text.assemble((label, colour(label)), f" {count}") for label, count in counts]
    return Text(" · ").join(parts)
