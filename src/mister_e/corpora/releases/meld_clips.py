"""Search for MELD's clips in folders and archives; of two clips of one name, choose the right one."""

from __future__ import annotations

import os
import re
import tempfile
import wave
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mister_e.corpora.extraction import archives
from mister_e.corpora.extraction.decoder import Decoder
from mister_e.errors import InputError

#: A clip's (dialogue, utterance), numbered within its split.
ClipId = tuple[int, int]

_CLIP = re.compile(r"(?:final_videos_test)?dia(\d+)_utt(\d+)\.(?:mp4|wav|flac|mp3|m4a)", re.IGNORECASE)
_TWIN = "final_videos_test"
_ANNOTATIONS = re.compile(r"(?:train|dev|test)_sent_emo\.csv")
_SPLIT = re.compile(r"(?<![a-z])(?:train|dev|test)(?![a-z])")

#: Seconds that measuring one twin may take.
_TIME_LIMIT = 20.0

#: Entries named in the error that a folder is not MELD.
_NAMED = 8


@dataclass(frozen=True)
class Clips:
    """Clips and csv files below a folder, as paths relative to it or "archive::member".

    :param src: the folder.
    :param places: split (the release's name) to clip to where it is, twins included.
    :param annotations: csv file name to where it is.
    :param found: entries of the folder, for the error that it is not MELD.
    """

    src: Path
    places: Mapping[str, Mapping[ClipId, list[str]]] = field(repr=False)
    annotations: Mapping[str, str]
    found: str

    def __bool__(self) -> bool:
        """Whether there is any clip."""
        return any(self.places.values())

    def choose(self, split: str, seconds: Mapping[ClipId, float], repairs: list[str]) -> dict[ClipId, str]:
        """Choose one place for each clip: of twins, the one as long as the csv says.

        :param split: the release's name of it.
        :param seconds: length of each utterance according to the csv; clips without text are dropped.
        :param repairs: sentences on chosen and dropped clips are appended here.
        """
        places = self.places.get(split, {})
        extra = sorted(set(places) - set(seconds))
        repairs += [f"{split}_dia{d}_utt{u}: a clip without text, left out" for d, u in extra]
        twins = {clip: some for clip, some in places.items() if clip in seconds and len(some) > 1}
        lengths = _lengths(self.src, [place for some in twins.values() for place in some])
        chosen = {clip: some[0] for clip, some in places.items() if clip in seconds}
        for clip, some in twins.items():
            if seconds[clip] > 0:
                # where their lengths are alike, the plain name goes first
                chosen[clip] = min(some, key=lambda place: round(abs(lengths[place] - seconds[clip]), 1))
        if twins:
            other = sum(_TWIN in place for place in chosen.values())
            repairs.append(
                f"{split}: {len(twins)} clips have a twin; the one as long as the csv says was taken,"
                f" {other} times that called {_TWIN}…"
            )
        return chosen


def find_clips(src: Path) -> Clips:
    """Look for clips and csv files; archives are listed where the folder itself lacks a split.

    :raises InputError: the source is an archive or no folder, or an archive is damaged.
    """
    if not src.is_dir():
        hint = ": extract it first" if archives.is_archive(src.name) else ""
        raise InputError(f"{src}: is a file, expected the folder MELD.Raw{hint}")
    files = sorted(_walk(src))
    places: dict[str, dict[ClipId, list[str]]] = {}
    annotations: dict[str, str] = {}
    _sort_in(files, places, annotations)
    extracted = set(places)
    for file in filter(archives.is_archive, files):
        split = _split(file)
        whole = split in extracted and f"{split}_sent_emo.csv" in annotations
        if split and not whole:
            inside = [f"{file}{archives.INSIDE}{name}" for name in archives.members(src / file)]
            # beside extracted clips, those of an archive are the same ones again
            _sort_in(inside, {} if split in extracted else places, annotations)
    names = sorted(entry.name for entry in src.iterdir())
    found = ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "") if names else "nothing"
    return Clips(src, places, annotations, found)


def read_member(src: Path, place: str) -> bytes:
    """Read a file of the folder, or out of an archive of it."""
    path, _, member = place.partition(archives.INSIDE)
    if not member:
        return (src / path).read_bytes()
    return b"".join(content for _, content in archives.stream(src / path, {member}))


def _walk(src: Path) -> Iterator[str]:
    """Yield the files below a folder, relative to it, without metadata of macOS; links are followed."""
    seen: set[Path] = set()
    for folder, folders, names in os.walk(src, followlinks=True):
        place = Path(folder).resolve()
        if place in seen:  # a link back up, or a second way to the same folder
            folders.clear()
            continue
        seen.add(place)
        folders.sort()
        below = Path(folder).relative_to(src)
        for name in names:
            path = (below / name).as_posix()
            if not archives.is_litter(path):
                yield path


def _sort_in(
    paths: Iterable[str], places: dict[str, dict[ClipId, list[str]]], annotations: dict[str, str]
) -> None:
    """Sort paths into clips and csv files; a plain name stands before its twin."""
    for path in sorted(paths, key=lambda path: _TWIN in _parts(path)[-1]):
        name = _parts(path)[-1]
        clip = _CLIP.fullmatch(name)
        if clip is not None:
            number = (int(clip[1]), int(clip[2]))
            places.setdefault(_split(path), {}).setdefault(number, []).append(path)
        elif _ANNOTATIONS.fullmatch(name):
            annotations.setdefault(name, path)


def _parts(path: str) -> tuple[str, ...]:
    """Folders and name of a path, an archive counting as a folder."""
    return PurePosixPath(path.replace(archives.INSIDE, "/")).parts


def _split(path: str) -> str:
    """Split of a clip: the nearest folder, or else archive, that names one ("" = none does)."""
    parts = _parts(path)
    inner_first = parts[-1::-1] if archives.is_archive(parts[-1]) else parts[-2::-1]
    for part in inner_first:
        match = _SPLIT.search(part.lower())
        if match:
            return match[0]
    return ""


def _lengths(src: Path, places: Iterable[str]) -> dict[str, float]:
    """Lengths of clips in seconds; infinite where they cannot be decoded."""
    lengths: dict[str, float] = {}
    outside: list[str] = []
    inside: dict[str, dict[str, str]] = defaultdict(dict)
    for place in places:
        archive, _, member = place.partition(archives.INSIDE)
        if member:
            inside[archive][member] = place
        else:
            outside.append(place)
    with tempfile.TemporaryDirectory() as spool, closing(Decoder(_TIME_LIMIT)) as decoder:
        for place in outside:
            lengths[place] = _length(decoder, src / place, Path(spool))
        for archive, wanted in inside.items():
            for member, content in archives.stream(src / archive, wanted):
                path = Path(spool) / f"clip{Path(member).suffix}"
                path.write_bytes(content)
                lengths[wanted[member]] = _length(decoder, path, Path(spool))
    return lengths


def _length(decoder: Decoder, path: Path, spool: Path) -> float:
    """Length of a clip in seconds, decoded in another process; infinite where it cannot be decoded."""
    copy = spool / "copy.wav"
    copy.unlink(missing_ok=True)
    decoder(path, copy, None)
    if not copy.is_file():
        return float("inf")
    with wave.open(str(copy), "rb") as sound:
        return sound.getnframes() / sound.getframerate()
