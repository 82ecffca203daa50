"""An analysis as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from mister_e.analysis.result import Analysis
from mister_e.analysis.runs import MANY_TURNS, Run, runs
from mister_e.analysis.summary import Summary, summarize
from mister_e.analysis.turns import ConversationAnalysis, Scores
from mister_e.analysis.wording import (
    MARK,
    NOTE_MEANINGS,
    WORDS_MARK,
    amount,
    clock,
    explain_uncertainty,
    marked,
)
from mister_e.cli.messages import plain
from mister_e.cli.strip import letters, strip
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


def render(analysis: Analysis, console: Console, *, fold: bool | None = None) -> str:
    """Draw one table a conversation.

    :param analysis: what to show.
    :param console: whose width and colours to use; nothing is printed on it.
    :param fold: show neighbouring turns of one emotion as one row; None = in conversations of more than
        `MANY_TURNS`, and only for a person: what a file or pipe gets has every turn.
    :return: the text, with colour codes where the console has colours.
    """
    key = letters([*analysis.labels, *sorted({turn.emotion for turn in analysis} - {*analysis.labels})])
    folded = False
    with console.capture() as captured:
        for conversation in analysis.conversations:
            many = len(conversation) > MANY_TURNS and console.file.isatty()
            rows = runs(conversation, fold=many if fold is None else fold)
            folded |= len(rows) < len(conversation)
            heading = _heading(conversation, len(rows), str(analysis.model.get("name", "?")))
            for part in [heading, *(_conversation(conversation, rows, key, console) if rows else ())]:
                console.print(part)
            console.print()
        if len(analysis):
            console.print(Text("\n".join(_legend(analysis, folded=folded)), style="dim"))
    # a table pads its rows with spaces that a file or pipe has no use for
    return "".join(line.rstrip() + "\n" for line in captured.get().splitlines())


def _legend(analysis: Analysis, *, folded: bool) -> Iterator[str]:
    """Yield the lines that explain what was drawn."""
    if folded:
        yield "A row is neighbouring turns of one emotion, with means; --no-fold shows all."
    if any(turn.trusted for turn in analysis):
        yield LEGEND
    if any(turn.uncertain for turn in analysis):
        yield f"{MARK} uncertain: {explain_uncertainty(analysis.uncertain_below)}."
    if any(turn.text_uncertain for turn in analysis):
        yield f"{WORDS_MARK} uncertain words: recognised, and not read by the model."
    noted = {note for turn in analysis for note in turn.notes}
    for note, meaning in NOTE_MEANINGS.items():
        if note in noted:
            yield f"{note}: {meaning}."
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


def _heading(conversation: ConversationAnalysis, rows: int, model: str) -> Text:
    """Name a conversation and say how much it holds."""
    name = Path(conversation.source).name if conversation.source else conversation.id
    length = "" if conversation.duration is None else f" · {clock(conversation.duration)}"
    turns = "1 turn" if len(conversation) == 1 else f"{len(conversation)} turns"
    folded = f" in {rows} row{'s' if rows > 1 else ''}" if rows < len(conversation) else ""
    return Text(plain(f"{name}{length} · {turns}{folded} · model {model}"), style="bold")


def _conversation(
    conversation: ConversationAnalysis, rows: Sequence[Run], key: Mapping[str, str], console: Console
) -> Iterator[RenderableType]:
    """Yield the strip, the rows and the summary of one conversation."""
    if len(conversation) > 1:
        yield strip(conversation, key, console)
    yield _turns(rows, console)
    yield _summary(summarize(conversation), key if len(conversation) > 1 else {})


def _turns(rows: Sequence[Run], console: Console) -> Table:
    """Lay out the rows; the text takes the width that the other columns leave."""
    turns = [turn for row in rows for turn in row.turns]
    timed = any(turn.start is not None for turn in turns)
    folded = len(rows) < len(turns)
    split = any(turn.channel is not None for turn in turns)
    weighed = any(turn.trusted for turn in turns)
    columns = {"time" if timed else "turn": [_time(row) for row in rows]}
    if folded:
        columns["turns"] = [str(len(row.turns)) if len(row.turns) > 1 else "" for row in rows]
    if split:
        columns["ch"] = [_channel(row) for row in rows]
    last_columns = {
        "emotion": [marked(row.emotion, uncertain=row.uncertain) for row in rows],
        "sure": [f"{row.confidence:.0%}" for row in rows],
    }
    widths = {name: _width(name, cells) for name, cells in columns.items()}
    last_widths = {name: _width(name, cells) for name, cells in last_columns.items()}
    if weighed:
        last_widths["trust"] = CELLS
    gaps = 2 * (len(widths) + len(last_widths))  # padding and divider
    used_width = sum(widths.values()) + sum(last_widths.values()) + gaps
    widths |= {"text": max(10, console.width - used_width)} | last_widths

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for name, width in widths.items():
        table.add_column(name, width=width, justify="right" if name in ("turn", "turns", "sure") else "left")
    for i, row in enumerate(rows):
        table.add_row(
            *(cells[i] for cells in columns.values()),
            _words(row, widths["text"], console),
            Text(last_columns["emotion"][i], style=colour(row.emotion)),
            last_columns["sure"][i],
            *([_bar(row.gate)] if weighed else []),
        )
    return table


def _width(name: str, cells: Sequence[str]) -> int:
    """Width of a column, wide enough for its name."""
    return max(len(name), 4 if name != "ch" else 2, *map(len, cells))


def _time(row: Run) -> str:
    """Times of a row, or its numbers where none is known."""
    if row.start is None:
        first, last = row.first + 1, row.first + len(row.turns)
        return str(first) if first == last else f"{first}-{last}"
    return clock(row.start) if row.end is None else f"{clock(row.start)}-{clock(row.end)}"


def _channel(row: Run) -> str:
    """Channel of a row as in JSON; nothing where there is none, or several."""
    channels = {turn.channel for turn in row.turns}
    channel = channels.pop()
    return "" if channels or channel is None else str(channel)


def _words(row: Run, width: int, console: Console) -> Text:
    """Return the words of a turn in at most `MAX_TEXT_LINES` lines, after its notes; of a run, fewer."""
    turn = row.opening
    mark = f" {WORDS_MARK}" if turn.text_uncertain else ""
    notes = f"({plain(', '.join(row.marks))}) " if row.marks else ""
    words = f"{plain(turn.text)}{mark}" if turn.text is not None else ""
    text = Text.assemble((notes, "dim"), (words, "dim" if turn.text_uncertain else ""))
    most = MAX_TEXT_LINES if len(row.turns) == 1 else 2 if notes else 1
    text.rstrip()
    lines = list(text.wrap(console, width))
    if len(lines) > most:
        lines = lines[:most]
        lines[-1].truncate(width - 1 - len(mark))
        lines[-1].append(f"…{mark}")
    return Text("\n").join(lines)


def _bar(gate: Scores) -> Text:
    """Draw the gate's weights as coloured letters; none if the model weighs no experts."""
    if not any(gate.values()):
        return Text()
    return Text.assemble(*(EXPERT_STYLES[name] for name in gate_cells(gate)))


def _summary(summary: Summary, key: Mapping[str, str]) -> Text:
    """Shares of the emotions, of talk time if it is known, the largest first; then what is marked."""
    parts = []
    for each in summary.emotions:
        letter = f"{key[each.emotion]} " if key else ""
        turns = "1 turn" if each.turns == 1 else f"{each.turns:,} turns"
        talk = "" if each.seconds is None else f"{amount(each.seconds)}, "
        name = (f"{letter}{plain(each.emotion)}", colour(each.emotion))
        parts.append(Text.assemble(name, f" {each.share:.0%} ({talk}{turns})"))
    total = Text("talk time: " if summary.timed else "turns: ", style="dim") + Text(" · ").join(parts)
    marks = [f"{count} {plain(note)}" for note, count in summary.notes.items()]
    if summary.uncertain:
        marks.append(f"{summary.uncertain} uncertain")
    return total + Text("\n" + " · ".join(marks), style="dim") if marks else total
