"""Writing results: each file whole or not at all; the failure of one output leaves the others."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from mister_e.analysis.result import Analysis
from mister_e.cli.outputs import Format, Output, to_stdout
from mister_e.cli.streams import named_as_given
from mister_e.errors import InputError
from mister_e.files import write_text

# Columns of a table in a file, which has no terminal's width to follow.
_FILE_WIDTH = 100


class Writer:
    """Writes results to the outputs; one that fails does not stop the others.

    `written` and `failures` tell what became of them.

    :param outputs: where to write.
    :param embed_audio: put the recordings into pages.
    :param fold: rows of tables, as in `mister_e.cli.table.render`.
    :param words: put the times of words into JSON.
    :param streams: inputs that were no files, and their files, see `mister_e.cli.streams.as_files`.
    """

    def __init__(
        self,
        outputs: Sequence[Output],
        *,
        embed_audio: bool = False,
        fold: bool | None = None,
        words: bool = False,
        streams: Mapping[Path, Path] | None = None,
    ) -> None:
        self.outputs = outputs
        self.embed_audio = embed_audio
        self.fold = fold
        self.words = words
        self.streams = streams or {}
        self.written: list[Path] = []
        self.failures: list[Exception] = []

    def write_conversation(self, analysis: Analysis) -> None:
        """Write a conversation to its own file in every folder.

        :param analysis: of one conversation, or of an input that failed: nothing is written of that.
        """
        for conversation in analysis.conversations:
            for output in self.outputs:
                if output.folder is not None:
                    path = output.file_of(conversation.id)
                    with self._collecting_failure(conversation.source or conversation.id, path):
                        text = self._text(analysis, output)
                        output.folder.mkdir(exist_ok=True)
                        self._save(path, text)

    def write_all(self, analysis: Analysis) -> None:
        """Write the whole to every file, then to stdout."""
        for output in self.outputs:
            if output.path is not None:
                with self._collecting_failure(str(output.path), output.path):
                    self._save(output.path, self._text(analysis, output))
        for output in self.outputs:
            if output.path is None and output.folder is None:
                with self._collecting_failure("stdout", Path("stdout")):
                    to_stdout(self._text(analysis, output, printed=True))

    def _text(self, analysis: Analysis, output: Output, *, printed: bool = False) -> str:
        if not (self.embed_audio and output.format == "html"):  # whose sound is read from the file
            analysis = named_as_given(analysis, self.streams)
        return render(
            analysis,
            output.format,
            embed_audio=self.embed_audio,
            fold=self.fold,
            words=self.words,
            printed=printed,
        )

    def _save(self, path: Path, text: str) -> None:
        write_text(path, text)
        self.written.append(path)

    @contextmanager
    def _collecting_failure(self, what: str, path: Path) -> Iterator[None]:
        """Keep the failure of a block for later, named after what it was about.

        :param what: whose result is written.
        :param path: where to.
        """
        try:
            yield
        except InputError as error:
            named = str(error).startswith((what, str(path)))
            self.failures.append(error if named else InputError(f"{what}: {error}"))
        except OSError as error:  # a full disk, or a folder that was taken away meanwhile
            problem = f"cannot be written ({error.strerror}); make room or choose another output"
            self.failures.append(InputError(f"{path}: {problem}"))
        except Exception as error:
            self.failures.append(error)


def render(
    analysis: Analysis,
    form: Format,
    *,
    embed_audio: bool = False,
    fold: bool | None = None,
    words: bool = False,
    printed: bool = False,
) -> str:
    """Text of an analysis in a format.

    :param embed_audio: put the recordings into a page.
    :param fold: rows of a table, as in `mister_e.cli.table.render`.
    :param printed: it goes to stdout, whose width and colours a table follows.
    """
    match form:
        case "table":
            from rich.console import Console

            from mister_e.cli import table

            console = (
                Console() if printed else Console(file=io.StringIO(), width=_FILE_WIDTH, color_system=None)
            )
            return table.render(analysis, console, fold=fold)
        case "json":
            return analysis.to_json(words=words) + "\n"
        case "jsonl":
            return analysis.to_jsonl(words=words)
        case "csv":
            return analysis.to_csv()
        case "srt":
            return analysis.to_srt()
        case "vtt":
            return analysis.to_vtt()
        case "html":
            return analysis.to_html(embed_audio=embed_audio)
