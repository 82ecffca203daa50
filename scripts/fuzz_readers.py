"""Fuzz the transcript readers, guided by coverage.

    pip install atheris
    python scripts/fuzz_readers.py .srt corpus/srt -max_total_time=600

Inputs that reach new code are kept in the folder; `libFuzzer`'s options follow it. Whatever is not an
`InputError` of one line stops the run and leaves the input beside it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["mister_e.transcription"]):
    from mister_e.transcription.transcripts import read_transcript

from mister_e.errors import InputError

#: A small input of every kind, to begin with.
SEEDS: dict[str, tuple[str, ...]] = {
    ".srt": ("1\n00:00:01,000 --> 00:00:02,500\n<i>Hi</i> {\\an8}there\n",),
    ".vtt": ("WEBVTT\n\nNOTE a\n\n00:01.000 --> 00:02.500 align:start\n<v Ann>Hi &amp; bye\n",),
    ".json": (
        '{"segments": [{"start": 1.5, "end": 3.0, "text": "Hi"}]}',
        '{"chunks": [{"timestamp": [0, 1], "text": "Hi"}]}',
        '{"results": {"items": [{"start_time": "0", "end_time": "1", "type": "pronunciation",'
        ' "alternatives": [{"content": "Hi"}]}]}}',
        '{"monologues": [{"elements": [{"value": "Hi", "ts": 0, "end_ts": 1}]}]}',
    ),
}


def main() -> None:
    """Read the command line and fuzz."""
    extension, corpus = sys.argv[1], Path(sys.argv[2])
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS.get(extension, ())):
        (corpus / f"seed-{number}").write_text(seed, encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{extension}"

        def read(data: bytes) -> None:
            path.write_bytes(data)
            try:
                for turn in read_transcript(path):
                    turn.to_json()
            except InputError as error:
                if "\n" in str(error):
                    raise ValueError(f"an error of several lines: {error}") from error

        atheris.Setup([sys.argv[0], str(corpus), "-timeout=5", "-rss_limit_mb=1500", *sys.argv[3:]], read)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
