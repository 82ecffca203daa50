"""A tiny IEMOCAP release: the layout and the oddities of the real one, with tones for speech."""

from __future__ import annotations

import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Turn:
    """One turn of the release; `who` is F or M, the person that speaks."""

    who: str
    start: float
    end: float
    emotion: str
    text: str | None
    clip: bool = True


#: Dialogue to its turns, in the order in which the release's files list them.
DIALOGUES: dict[str, tuple[Turn, ...]] = {
    "Ses01F_impro01": (
        # by speaker, not by start
        Turn("F", 6.2901, 8.2357, "neu", "Excuse me."),
        Turn("F", 10.01, 11.3925, "xxx", "Yeah."),
        Turn("M", 7.5712, 10.475, "fru", "Do you have your forms?"),
        Turn("M", 12.0, 13.5, "sur", "What?"),
    ),
    # the ERC split counts the turn at 5.02 s as happy though its annotators do not agree
    "Ses01M_impro03": (
        Turn("F", 5.02, 5.9, "xxx", "What?"),
        Turn("M", 6.0, 7.25, "hap", "We are getting married!"),
    ),
    # one of the twelve dialogues that the ERC split validates on
    "Ses01M_impro01": (Turn("M", 1.0, 2.0, "sad", "I have to go."), Turn("F", 2.5, 3.0, "oth", "[LAUGHTER]")),
    "Ses02F_script01_1": (
        Turn("M", 0.5, 1.75, "ang", "Do not tell me that."),
        Turn("F", 1.5, 2.5, "exc", "It is wonderful.", clip=False),
        Turn("F", 3.0, 4.0, "fea", None),
    ),
    # two people start and end at the same moment
    "Ses03M_script01_3": (
        Turn("M", 4.0, 5.0, "neu", "Zero."),
        Turn("F", 4.0, 5.0, "neu", "Always."),
        Turn("F", 6.0, 7.0, "dis", "No."),
    ),
    "Ses04F_impro02": (Turn("F", 0.9, 1.9, "exc", "Really?"),),
    "Ses05M_impro04": (
        Turn("F", 2.0, 2.7, "hap", "Yes."),
        Turn("M", 3.0, 4.0, "fru", "No, that is not it."),
        Turn("F", 5.0, 6.5, "neu", "All right."),
    ),
    "Ses05F_script02_2": (Turn("M", 1.0, 2.0, "sad", "Nobody came."),),
}


def swapped(who: str) -> str:
    """Name the other person."""
    return {"F": "M", "M": "F"}[who]


def write(root: Path, cast: Callable[[str], str] = str) -> Path:
    """Write the release.

    :param root: the folder to make it in.
    :param cast: whom the files name as the speaker of what `who` says.
    :return: the folder that the archive would make.
    """
    release = root / "IEMOCAP_full_release"
    for name, turns in DIALOGUES.items():
        session = release / f"Session{name[4]}"
        names = _names(name, turns, cast)
        _write(session / "dialog" / "EmoEvaluation" / f"{name}.txt", _evaluation(turns, names))
        _write(session / "dialog" / "transcriptions" / f"{name}.txt", _transcript(name, turns, names))
        for position, (turn, turn_name) in enumerate(zip(turns, names, strict=True)):
            if turn.clip:
                pitch = 150 + 40 * position + 10 * list(DIALOGUES).index(name)
                tone(session / "sentences" / "wav" / name / f"{turn_name}.wav", turn.end - turn.start, pitch)
        _litter(session, name)
    return release


def tone(path: Path, seconds: float, pitch: float, level: float = 0.3) -> None:
    """Write a sine as 16 kHz mono WAV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = level * np.sin(2 * np.pi * pitch * np.arange(round(seconds * 16_000)) / 16_000)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(np.round(samples * 32767).astype("<i2").tobytes())


def _names(dialogue: str, turns: tuple[Turn, ...], cast: Callable[[str], str]) -> list[str]:
    """Number the turns of each speaker as the release does."""
    count = {"F": 0, "M": 0}
    names = []
    for turn in turns:
        who = cast(turn.who)
        names.append(f"{dialogue}_{who}{count[who]:03d}")
        count[who] += 1
    return names


def _evaluation(turns: tuple[Turn, ...], names: list[str]) -> str:
    """Sum up each turn, with the annotators' own lines below it."""
    lines = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
    for turn, name in zip(turns, names, strict=True):
        lines += [
            f"[{turn.start:.4f} - {turn.end:.4f}]\t{name}\t{turn.emotion}\t[2.5000, 3.0000, 2.5000]",
            "C-E2:\tNeutral;\t()",
            "C-E3:\tHappiness; Excited;\t()",
            f"C-{names[0][-4]}1:\tAnger;\t(curious)",
            "A-E3:\tval 3; act 2; dom  2;\t()",
            "",
        ]
    return "\n".join(lines)


def _transcript(dialogue: str, turns: tuple[Turn, ...], names: list[str]) -> str:
    """Write words with times, among lines that name no turn."""
    lines = ["M: [breathing]", f"{dialogue}_FXX0 [000.0000-000.5000]: Mmhmm."]
    for turn, name in zip(turns, names, strict=True):
        if turn.text is not None:
            lines.append(f"{name} [{turn.start:08.4f}-{turn.end:08.4f}]: {turn.text}")
    return "\n".join([*lines, "F: [GARBAGE]", ""])


def _litter(session: Path, dialogue: str) -> None:
    """Add what stands in the release but is not read."""
    evaluations = session / "dialog" / "EmoEvaluation"
    for folder in ("Attribute", "Categorical", "Self-evaluation"):
        _write(evaluations / folder / f"{dialogue}_e1_cat.txt", f"{dialogue}_F000 :Neutral state; ()\n")
    _write(evaluations / f"._{dialogue}.txt", "Mac OS X \x00\x05")
    _write(session / "sentences" / "wav" / dialogue / f"._{dialogue}_F000.wav", "Mac OS X \x00\x05")


def _write(path: Path, text: str) -> None:
    """Write a text and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
