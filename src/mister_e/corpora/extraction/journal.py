"""Which clips are extracted already, from what: one line each, so that a killed run loses nothing."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mister_e.errors import InputError


@dataclass(frozen=True)
class Key:
    """What an extracted clip depends on.

    :param audio: where it came from, as in `Row.audio`.
    :param stamp: size and time of change of that file.
    :param stretch: the seconds taken; None = all.
    """

    audio: str
    stamp: tuple[int, int] | None
    stretch: tuple[float, float] | None


class Journal:
    """Lines of finished clips; a line that a kill cut short is as if it were not there."""

    def __init__(self, path: Path) -> None:
        """:param path: the file, made if need be."""
        self.path = path
        self._done: dict[str, Any] = {}
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        for line in lines:
            try:
                record = json.loads(line)
                self._done[record.pop("target")] = record
            except (ValueError, KeyError, AttributeError):
                continue
        self._file = path.open("a", encoding="utf-8")
        self._file.write("\n")  # ends a line that was cut short

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def has(self, target: str, key: Key) -> bool:
        """Whether a file was finished from just this."""
        return bool(self._done.get(target) == json.loads(json.dumps(asdict(key))))

    def add(self, target: str, key: Key) -> None:
        """Note that a file is finished.

        :raises InputError: the disk is full.
        """
        try:
            self._file.write(json.dumps({"target": target, **asdict(key)}) + "\n")
            self._file.flush()
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written ({error.strerror}); make room") from error
