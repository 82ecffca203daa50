"""Journal of the extracted clips and their sources: one line each, so that a killed run can resume."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mister_e.errors import InputError
from mister_e.files import write_text


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
    """Lines of finished clips; a line that a kill cut short is ignored."""

    def __init__(self, path: Path) -> None:
        """:param path: the file, made if need be.

        :raises InputError: it cannot be read or made.
        """
        self.path = path
        self._done: dict[str, Any] = {}
        try:
            content = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise self._refused(error) from error
        for line in content.splitlines():
            try:
                record = json.loads(line)
                self._done[record.pop("target")] = record
            except (ValueError, KeyError, AttributeError):
                continue
        if content and not content.endswith("\n"):
            self._write("\n")  # ends a line that was cut short

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # a failed write was raised when it happened
            self._file.close()

    def notes(self, target: str, key: Key) -> list[str] | None:
        """Notes on a file that was finished from the same source; None = it was not."""
        record = dict(self._done.get(target, {}))
        notes = record.pop("notes", [])
        return list(notes) if record == json.loads(json.dumps(asdict(key))) else None

    def targets(self) -> list[str]:
        """Every file that was begun."""
        return list(self._done)

    def add(self, target: str, key: Key, notes: Sequence[str]) -> None:
        """Note that a file is finished.

        :param notes: damage in it that was repaired.
        :raises InputError: the disk is full.
        """
        self._add({"target": target, **asdict(key)} | ({"notes": list(notes)} if notes else {}))

    def begin(self, target: str) -> None:
        """Note that a file is about to be rewritten: its earlier line no longer holds.

        :raises InputError: the disk is full.
        """
        if target in self._done:
            self._add({"target": target})

    def keep(self, targets: Collection[str]) -> None:
        """Forget all other files.

        :raises InputError: the disk is full.
        """
        self._done = {target: record for target, record in self._done.items() if target in targets}
        lines = (json.dumps({"target": target, **record}) + "\n" for target, record in self._done.items())
        try:
            write_text(self.path, "".join(lines))
        except OSError as error:
            raise self._refused(error) from error

    def _add(self, record: dict[str, Any]) -> None:
        """Write one line, and remember it."""
        self._write(json.dumps(record) + "\n")
        self._done[record["target"]] = json.loads(
            json.dumps({name: value for name, value in record.items() if name != "target"})
        )

    def _write(self, text: str) -> None:
        """Write and flush."""
        try:
            self._file.write(text)
            self._file.flush()
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> InputError:
        """Make the error for a journal that cannot be written."""
        return InputError(f"{self.path}: cannot be written ({error.strerror}); make room, then run again")
