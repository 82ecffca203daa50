"""`mister-e analyze`: from recordings or transcripts to emotions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, get_args

import typer

from mister_e.analysis.result import Analysis
from mister_e.cli.inputs import expand
from mister_e.cli.messages import BAD_INPUT, complain, exit_codes, say
from mister_e.cli.options import (
    AsrModel,
    ComputeType,
    Debug,
    NoAsr,
    Quiet,
    SpokenLanguage,
    WordTimes,
    chosen_recogniser,
)
from mister_e.cli.outputs import Format, choose
from mister_e.cli.progress import numbered, progress_bar
from mister_e.cli.streams import as_files, named_as_given
from mister_e.cli.writing import Writer
from mister_e.errors import InputError

EPILOG = """
**Examples**

A table on the terminal: `mister-e analyze call.wav`

A page to click through: `mister-e analyze call.mp4 --transcript call.srt -o call.html`

One JSON file a recording: `mister-e analyze calls/ --format json -o results/`

A table and a file from one run: `mister-e analyze call.wav -o - -o call.csv`

What another program sends: `ffmpeg -i call.mkv -f wav - | mister-e analyze -`

Words by a larger recogniser, with their times: `mister-e analyze call.wav --asr base --words -o call.json`

Words alone: `mister-e analyze chat.txt --format jsonl | head`

**Exit codes**: 0 all well; 1 a failure; 2 bad input (the good ones are written); 130 Ctrl-C.
"""


def analyze(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT",
            show_default=False,
            help="Recordings (any audio or video), folders of them (a transcript beside a recording"
            " gives its words), or transcripts alone (srt, vtt, ass, sbv, lrc, ttml, json, csv, tsv, txt,"
            " TextGrid, eaf). Each file is one conversation. - is standard input.",
        ),
    ],
    transcript: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Turns and words of the recording; it is not transcribed then."),
    ] = None,
    cuts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where turns of the recording begin and end: RTTM, TextGrid or JSON of a diarisation."
            " Their words are recognised, --turns has no say, and who speaks is dropped.",
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(metavar="MODEL", help="A bundled name (see `mister-e models`), a folder or a Hub id."),
    ] = "mini",
    channels: Annotated[
        Literal["mix", "split"],
        typer.Option(help="mix: average them. split: cut each into turns by itself, for two-sided calls."),
    ] = "mix",
    track: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, show_default=False, help="Sound track, from 1. Default: the one that plays."
        ),
    ] = None,
    asr: AsrModel = None,
    no_asr: NoAsr = False,
    language: SpokenLanguage = "auto",
    compute_type: ComputeType = "default",
    turns: Annotated[
        Literal["pauses", "sentences", "voices"] | None,
        typer.Option(
            show_default="voices, if the model can tell them, else sentences",
            help="Where to cut turns. pauses: where nobody speaks for half a second. sentences: also at"
            " shorter pauses and where sentences end. voices: where another voice goes on, and there"
            " unless one voice surely goes on.",
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Refuse a transcript for one bad turn, which is else left out with a note."
        ),
    ] = False,
    form: Annotated[
        Format | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            show_default=False,
            help=f"{', '.join(get_args(Format))}. Default: what the name of OUT ends in; table on stdout.",
        ),
    ] = None,
    out: Annotated[
        # not Path, which would drop the slash at the end of a folder that is to be made
        list[str] | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            show_default=False,
            help="A file, a folder/ (one file an input; made if need be) or - for stdout."
            " May be repeated: each by its name.",
        ),
    ] = None,
    word_times: WordTimes = False,
    embed_audio: Annotated[
        bool,
        typer.Option("--embed-audio", help="Put the recordings into the html page, to click and listen."),
    ] = False,
    fold: Annotated[
        bool | None,
        typer.Option(
            "--fold/--no-fold",
            show_default=False,
            help="In a table, neighbouring turns of one emotion as one row."
            " Default: above 100 turns, on a terminal.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(metavar="DEVICE", help="auto, cpu or cuda.")] = "auto",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Tell the emotion of every turn, how sure it is and which expert was trusted."""
    given = [*inputs, *(file for file in (transcript, cuts) if file is not None)]
    with exit_codes(debug), as_files(given) as streams:
        if transcript in streams and transcript in inputs:
            raise InputError(f"{transcript}: is the recording and its transcript; give one of them as a file")
        if cuts in streams and cuts in (*inputs, transcript):
            raise InputError(f"{cuts}: is named twice, and can be read once; give one of them as a file")
        words = streams.get(transcript, transcript) if transcript is not None else None
        places = streams.get(cuts, cuts) if cuts is not None else None
        files = [streams.get(path, path) for path in inputs]
        recogniser = chosen_recogniser(asr, no_asr)
        found = expand(files, words, cuts=places, no_asr=recogniser is None, language=language, strict=strict)
        outputs = choose(out or [], form, found)
        if embed_audio and not any(output.format == "html" for output in outputs):
            raise InputError("--embed-audio is for html: add -o NAME.html")
        if word_times and recogniser is None:
            raise InputError("--words is for words that are recognised: leave --asr none (--no-asr) out")
        if word_times and not any(output.format in ("json", "jsonl") for output in outputs):
            raise InputError("--words is for json and jsonl: add -o NAME.json")
        writer = Writer(outputs, embed_audio=embed_audio, fold=fold, words=word_times, streams=streams)
        _tell("note", found.notes, quiet)
        try:
            with progress_bar(quiet) as progress:
                progress("loading the model", 0, 0)
                # torch comes with the pipeline: bad usage is told without waiting for it
                from mister_e.pipeline import Pipeline

                pipeline = Pipeline.from_pretrained(
                    model, device=device, recogniser=recogniser or "tiny.en", compute_type=compute_type
                )

                results = []
                for result in pipeline.analyze_each(
                    found.inputs,
                    channels=channels,
                    track=track,
                    asr=recogniser is not None,
                    language=language,
                    turns=turns,
                    strict=strict,
                    progress=numbered(progress, [given.files[0].name for given in found.inputs]),
                ):
                    results.append(result)
                    writer.write_conversation(pipeline.collect([result]))
                analysis = pipeline.collect(results)
            writer.write_all(analysis)
        finally:
            # after Ctrl-C too: what folders got stays
            _tell("wrote", map(str, writer.written), quiet)
        _report(named_as_given(analysis, streams), writer.failures, quiet, debug)


def _tell(kind: str, messages: Iterable[str], quiet: bool) -> None:
    """Put messages on stderr, unless --quiet."""
    if not quiet:
        for message in messages:
            say(kind, message)


def _report(analysis: Analysis, failures: list[Exception], quiet: bool, debug: bool) -> None:
    """Put the notes of the results, and what failed, on stderr.

    :raises typer.Exit: 2 when an input was bad, 1 when anything else failed.
    """
    for conversation in analysis.conversations:
        name = conversation.source or conversation.id
        _tell("note", (f"{name}: {note}" for note in conversation.notes), quiet)
    for failed in analysis.errors:
        # the library's messages name the file already
        named = failed.error.startswith(failed.source)
        say("error", failed.error if named else f"{failed.source}: {failed.error}")
    codes = [BAD_INPUT] * bool(analysis.errors) + [complain(failure, debug) for failure in failures]
    if codes:
        raise typer.Exit(min(codes))
