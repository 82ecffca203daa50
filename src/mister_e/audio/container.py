"""Open recordings as untrusted local files: nothing that a recording names is opened."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition

from mister_e.audio.format import MAX_RATE, MIN_RATE
from mister_e.audio.headers import ignores_length
from mister_e.errors import InputError

#: FFmpeg demuxers of media that hold all they need. Playlists and manifests (HLS, DASH, ffconcat, IMF),
#: session descriptions (SDP, RTSP), numbered images, devices and filters open what they name, and text
#: formats are no recordings. Raw samples without a header (alaw, s16le) do not state their rate; those of
#: telephony that have one rate alone (gsm, g722, g729, sln) are there.
DEMUXERS = (
    "aac,ac3,ac4,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,dtshd,dv,eac3,flac,flv,g722,g723_1,g729,gsm,gxf,"
    "iff,ilbc,ircam,live_flv,loas,matroska,mlp,mov,mp3,mpc,mpc8,mpeg,mpegts,mxf,nistsphere,nut,ogg,oma,paf,qcp,rm,"
    "sbc,shn,sln,sox,spdif,tak,truehd,tta,voc,w64,wav,wsd,wtv,wv,xwma"
)

#: Bytes that tell what a file is.
_HEAD = 4096

#: How files begin that only name recordings, and what they are.
_LISTS: tuple[tuple[bytes, str], ...] = (
    (b"#extm3u", "a playlist (M3U, HLS)"),
    (b"ffconcat", "a list of files (ffconcat)"),
    (b"[playlist]", "a playlist (PLS)"),
    (b"[reference]", "a reference to a stream"),
    (b"<asx", "a playlist (ASX)"),
    (b"<smil", "a playlist (SMIL)"),
    (b"<mpd", "a manifest (DASH)"),
    (b"v=0", "a session description (SDP)"),
    (b"rtsp://", "the address of a stream (RTSP)"),
    (b"http", "an address"),
)


@contextmanager
def opened(path: str | Path) -> Iterator[InputContainer]:
    """Open a recording; what it names is not opened, whatever its extension.

    :param path: a regular file on this machine, and nothing else: `tcp:…` is a name like any other.
    :raises InputError: it cannot be read, or is no self-contained recording.
    """
    with _file(path) as file:
        options = {"format_whitelist": DEMUXERS, "protocol_whitelist": ""}
        if ignores_length(file):
            options["ignore_length"] = "1"
        file.seek(0)
        try:
            container = av.open(_Local(file), options=options, metadata_errors="ignore")
        except (av.FFmpegError, OSError, ValueError) as error:
            raise _refusal(path, file, error) from error
        with container:
            assert isinstance(container, InputContainer)  # as it was opened to read
            yield container


def _file(path: str | Path) -> BinaryIO:
    """Open a regular file.

    :raises InputError: it is none, is empty, or may not be read.
    """
    try:
        # before it is opened: a pipe without a writer would block for ever
        status = Path(path).stat()
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"{path}: is a folder, expected an audio or video file")
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path}: is a pipe or device, expected a file; copy the recording to one")
        if status.st_size == 0:
            raise InputError(f"{path}: is empty (0 bytes); record or copy it again")
        return Path(path).open("rb")
    except InputError:
        # an InputError is a ValueError too: not to be wrapped below
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the path") from None
    except PermissionError:
        raise InputError(f"{path}: may not be read; check its permissions") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be opened ({reason}); check the path") from None


class _Local:
    """A file as PyAV reads it: a damaged recording that seeks to nowhere fails there, and not in Python."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.tell, self.name = file.read, file.tell, file.name
        self._file = file

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move; give the new position, or -1 where there is none."""
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return -1


def _refusal(path: str | Path, file: BinaryIO, error: Exception) -> InputError:
    """Say why a file is no recording, and if it only names recordings, what it is."""
    file.seek(0)
    head = file.read(_HEAD).removeprefix(b"\xef\xbb\xbf").lower()
    start = head.lstrip()
    for mark, what in _LISTS:
        if start.startswith(mark) or (mark.startswith(b"<") and mark in start and start.startswith(b"<")):
            return InputError(
                f"{path}: is {what} and holds no sound itself; give the recording that it names"
            )
    reason = getattr(error, "strerror", None) or error
    if isinstance(error, av.ArgumentError):
        reason = "not a format of recordings"
    return InputError(
        f"{path}: not audio or video that can be read ({reason});"
        " if it plays elsewhere, export it as WAV or FLAC; if it was cut off, copy it again"
    )


def sound_track(path: str | Path, container: InputContainer, track: int | None) -> AudioStream:
    """Choose a sound track.

    :param path: of the recording, for errors.
    :param container: of the recording.
    :param track: 1-based among its sound tracks; None = the one flagged as default, else the first.
    :raises InputError: there is no such track, or it cannot be decoded.
    """
    tracks = container.streams.audio
    if not tracks:
        raise InputError(f"{path}: has no sound track; expected an audio file, or a video with sound")
    if track is not None and not 1 <= track <= len(tracks):
        raise InputError(
            f"{path}: has {len(tracks)} sound tracks, there is no track {track} (the first is 1)"
        )
    defaults = [stream for stream in tracks if stream.disposition & Disposition.default]
    stream = tracks[track - 1] if track is not None else (defaults or tracks)[0]
    # PyAV has no decoder where FFmpeg knows none
    if getattr(stream, "codec_context", None) is None:
        raise InputError(f"{path}: the codec of its sound is not known; export it as WAV or FLAC")
    if not stream.codec_context.channels:
        raise InputError(f"{path}: no sound could be decoded; it may be damaged, export it again")
    rate = stream.rate or 0
    # 0 = the header does not tell: the first frame will
    if rate and not MIN_RATE <= rate <= MAX_RATE:
        raise InputError(
            f"{path}: states a sample rate of {rate:,} Hz, which no recording has: its header is damaged;"
            " export it again"
        )
    return stream
