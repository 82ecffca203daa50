"""Leak between channels: what one side of a call says, heard faintly on the other side, is said once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from mister_e.audio.format import SAMPLE_RATE
from mister_e.transcription.cutting.vad import AFTER, BEFORE, Speech

# A copy is later or earlier than what it is a copy of by at most so much (s).
_MOST_LAG = 0.05
# Windows of Fourier transforms: long enough for the room or the line that filters a copy.
_WINDOW, _HOP = SAMPLE_RATE * 64 // 1000, SAMPLE_RATE * 16 // 1000
_STEP = _HOP / SAMPLE_RATE
# A copy is fainter by at least so much (power), unless it is the same sound: then whatever is fainter, and of
# two that are as loud the later channel. The same sound leaves so little unexplained.
_FAINTER, _SAME = 10 ** (-3 / 10), 0.01
_AS_LOUD = 10 ** (0.1 / 10)
# Correlation of channels that hold the same sound in a turn, whatever codes each of them.
_ALIKE = 0.999
# Sound is compared from where voices begin (Hz): hum and offset, which channels share, are below. Softly cut.
_LOWEST, _SOFT = 70.0, 30.0
# A frequency whose quietest tenth of windows has so much of its mean power holds a steady tone, left out.
_STEADY = 0.5
# Powers are smoothed over so many windows: a syllable.
_SYLLABLE = 9
# What the other channel leaves unexplained of the power, above which somebody speaks here; and the power of
# that, relative to the mean of the turn, and to its quietest tenth, below which it is noise.
_UNEXPLAINED, _AUDIBLE, _ABOVE_NOISE = 0.5, 0.05, 2.0
# A copy is heard from this power on, relative to the mean of the turn: it is fainter than talk beside it.
_FAINTEST = 0.01
# Own speech shorter than this (s) is none; parts of it that are no further apart (s) stay together.
_SHORTEST, _TOGETHER = 0.15, 0.5
# Floor of powers: half a step of 16 bits.
_FLOOR = 2.0**-32


class LeakFilter:
    """Takes away from turns what is but a fainter copy of another channel.

    A copy is told by its sound: filtered and delayed as a line or a room does it, the other channel gives
    the same samples. Somebody who speaks at the same time is left, for the other channel does not explain
    that. It keeps the sound of the turns to come and no more.
    """

    def __init__(self) -> None:
        """Begin a recording."""
        self._sound = np.zeros((0, 0), np.float32)
        self._first = 0
        #: Turns that were left out, and those that were shortened, so far.
        self.left_out = self.shortened = 0
        self._alike = True
        self._kept: set[int] = set()

    def push(self, block: NDArray[np.float32]) -> None:
        """Take `[C, N]` more."""
        if len(block) < 2:
            return
        if not len(self._sound):
            self._sound = block[:, :0]
        self._sound = np.concatenate([self._sound, block], axis=1)

    def forget(self, before: float) -> None:
        """Let go of sound before a time in seconds, which no turn to come holds."""
        drop = max(0, round((before - _MOST_LAG) * SAMPLE_RATE) - self._first)
        self._sound, self._first = self._sound[:, drop:].copy(), self._first + drop

    def notes(self) -> Iterator[str]:
        """What was taken away so far, for people."""
        if self.left_out and self._alike and not self.shortened and len(self._kept) == 1:
            yield "all channels hold the same sound, which is analysed once; there is nothing to split"
            return
        if self.left_out:
            turns = "1 turn is" if self.left_out == 1 else f"{self.left_out} turns are"
            yield f"{turns} but a fainter copy of another channel (leak, echo) and left out"
        if self.shortened:
            turns = "1 turn" if self.shortened == 1 else f"{self.shortened} turns"
            yield f"{turns} shortened by what is a fainter copy of another channel"

    def without(self, speeches: Iterable[Speech]) -> Iterator[Speech]:
        """Give what is left of each of some turns; see `own`."""
        for speech in speeches:
            yield from self.own(speech)

    def own(self, speech: Speech) -> list[Speech]:
        """Give what is left of a turn.

        :param speech: of one channel; all of its sound was pushed, and none forgotten.
        :return: the turn itself, parts of it, or nothing.
        """
        if speech.channel is None or len(self._sound) < 2:
            return [speech]
        whole = [(0, len(speech.samples))]
        others = [channel for channel in range(len(self._sound)) if channel != speech.channel]
        found = [
            compare(speech.samples, self._around(speech, channel), twin=channel < speech.channel)
            for channel in others
        ]
        spans = reduce(_both, (comparison.own for comparison in found), whole)
        if spans:
            self._kept.add(speech.channel)
        elif not any(comparison.same and not comparison.own for comparison in found):
            self._alike = False
        if spans == whole:
            return [speech]
        self.left_out += not spans
        self.shortened += bool(spans)
        return [_part(speech, begin, end) for begin, end in spans]

    def _around(self, speech: Speech, channel: int) -> NDArray[np.float32]:
        """Sound of another channel at a turn, with `_MOST_LAG` before, and silence after it.

        What follows a turn may or may not be there yet, and must not change anything.
        """
        margin = round(_MOST_LAG * SAMPLE_RATE)
        begin = round(speech.start * SAMPLE_RATE) - margin - self._first
        end = begin + margin + len(speech.samples)
        return np.pad(self._sound[channel, max(0, begin) : end], (max(0, -begin), margin))


def _part(speech: Speech, begin: int, end: int) -> Speech:
    """A turn from one of its samples to another, with the pauses within."""
    first, last = begin / SAMPLE_RATE, end / SAMPLE_RATE
    return replace(
        speech,
        start=speech.start + first,
        samples=speech.samples[begin:end].copy(),
        pauses=tuple((b - first, e - first) for b, e in speech.pauses if first < b and e < last),
    )


@dataclass(frozen=True)
class Comparison:
    """What a turn has to do with another channel.

    :param own: first and last sample of each part that is more than a copy; `[(0, N)]` where there is none.
    :param same: both hold the same sound, neither filtered nor with another, as loud or not.
    """

    own: list[tuple[int, int]]
    same: bool = False


def compare(sound: NDArray[np.float32], other: NDArray[np.float32], *, twin: bool = False) -> Comparison:
    """Find where a turn holds more than a copy of another channel.

    Only what changes, and where voices have their sound, counts: a hum, an offset or a tone that channels
    share would else hide who speaks over it.

    :param sound: float32 `[N]` at `SAMPLE_RATE`.
    :param other: float32 `[N + 1600]`, the other channel at that time, with 50 ms before and after it, of
        which the latter is not read.
    :param twin: of the same sound, as loud in both, this one is the copy.
    """
    whole = Comparison([(0, len(sound))])
    margin = (len(other) - len(sound)) // 2
    if len(sound) < 2 * _HOP:
        return whole
    sound, other = _voiced(sound), np.pad(_voiced(other[: margin + len(sound)]), (0, margin))
    powers = _syllables(_powers(sound)) / np.maximum(_syllables(_powers(other[margin:-margin])), _FLOOR)
    if not (powers < 2 * _AS_LOUD).any():
        return whole
    lag = _lag(sound, other)
    mine, theirs = _spectra(sound), _spectra(other[margin + lag : margin + lag + len(sound)])
    changing = ~(_steady(mine) | _steady(theirs))
    mine, theirs = mine[:, changing], theirs[:, changing]
    power, loud = (np.abs(mine) ** 2).sum(1) + _FLOOR, (np.abs(theirs) ** 2).sum(1)
    if _unexplained(mine, theirs, np.ones(len(power))).sum() < _SAME * power.sum():
        copy = power.sum() < loud.sum() * (_AS_LOUD if twin else 1 / _AS_LOUD)
        products = np.abs((mine * theirs.conj()).sum()) ** 2
        return Comparison([] if copy else whole.own, bool(products > _ALIKE**2 * power.sum() * loud.sum()))
    faint = power < _FAINTER * loud
    if not faint.any():
        return whole
    # loud windows, in which somebody may speak, count no more than others
    left = _syllables(_unexplained(mine, theirs, faint / power))
    power, loud = _syllables(power), _syllables(loud)
    quiet = np.maximum(_AUDIBLE * power.mean(), _ABOVE_NOISE * np.quantile(power, 0.1))
    copied = (power < _FAINTER * loud) & (left < _UNEXPLAINED * power)
    own = np.where(power < _FAINTER * loud, left, power) > np.maximum(_UNEXPLAINED * power, quiet)
    return Comparison(_kept(own, copied & (power > _FAINTEST * power.mean()), len(sound)))


def _voiced(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sound `[N]` from `_LOWEST` on, without delay.

    Its ends are carried on, so that a hum does not click there.
    """
    pad = min(_WINDOW, len(sound) - 1)
    ramp = np.sin(np.linspace(0, np.pi / 2, pad)) ** 2
    carried = np.pad(sound.astype(np.float64), pad, "reflect", reflect_type="odd")
    carried[:pad] *= ramp
    carried[-pad:] *= ramp[::-1]
    size = 1 << (len(carried) - 1).bit_length()
    hertz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    passed = np.clip((hertz - _LOWEST) / _SOFT, 0, 1)
    filtered = np.fft.irfft(np.fft.rfft(carried, size) * passed, size)
    return filtered[pad : pad + len(sound)].astype(np.float32)


def _steady(spectra: NDArray[np.complex128]) -> NDArray[np.bool_]:
    """Tell which frequencies `[F]` of spectra `[T, F]` hold a steady tone."""
    powers = np.abs(spectra) ** 2
    steady: NDArray[np.bool_] = np.quantile(powers, 0.1, axis=0) > _STEADY * powers.mean(0)
    return steady


def _unexplained(
    mine: NDArray[np.complex128], theirs: NDArray[np.complex128], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Power of each window that no filter of the other channel gives; the filter is fitted by least squares.

    :param mine: spectra `[T, F]`.
    :param theirs: of the same windows of the other channel.
    :param weights: of the windows, `[T]`.
    """
    each = weights[:, None]
    power = (each * np.abs(theirs) ** 2).sum(0) + _FLOOR * weights.sum()
    gain = (each * mine * theirs.conj()).sum(0) / power
    left: NDArray[np.float64] = (np.abs(mine - gain * theirs) ** 2).sum(1)
    return left


def _lag(sound: NDArray[np.float32], other: NDArray[np.float32]) -> int:
    """Samples by which the other channel is to be moved to fit best, of at most `_MOST_LAG`."""
    margin = (len(other) - len(sound)) // 2
    size = 1 << (len(other) - 1).bit_length()
    product = np.fft.rfft(other, size) * np.fft.rfft(sound, size).conj()
    # half whitened: voices have most power in few harmonics, whose period is no lag
    correlation = np.fft.irfft(product / np.sqrt(np.abs(product) + _FLOOR), size)
    return int(np.abs(correlation[: 2 * margin + 1]).argmax()) - margin


def _spectra(sound: NDArray[np.float32]) -> NDArray[np.complex128]:
    """Spectra `[T, 513]` of windows, the sound padded by half a window at both ends."""
    padded = np.pad(sound, (_WINDOW // 2, _WINDOW // 2 + -len(sound) % _HOP))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    spectra: NDArray[np.complex128] = np.fft.rfft(frames * np.hanning(_WINDOW) * _SCALE)
    return spectra


#: The power of a window is then about that of its samples, as a mean.
_SCALE = np.sqrt(2 / np.sum(np.hanning(_WINDOW) ** 2) / _WINDOW)


def _powers(sound: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean power of each hop."""
    whole = sound[: len(sound) // _HOP * _HOP].reshape(-1, _HOP).astype(np.float64)
    return np.asarray((whole**2).mean(1))


def _syllables(powers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the powers around each."""
    width = min(_SYLLABLE, len(powers))
    if not width:
        return powers
    sums = np.concatenate([[0.0], np.cumsum(powers)])
    middle = np.arange(len(powers))
    first, last = np.maximum(middle - width // 2, 0), np.minimum(middle + width // 2 + 1, len(powers))
    return np.asarray((sums[last] - sums[first]) / (last - first))


def _kept(own: NDArray[np.bool_], copied: NDArray[np.bool_], length: int) -> list[tuple[int, int]]:
    """Spans of samples that are kept: own speech, and what lies around it unless that is copied.

    :param own: windows `[T]` with own speech.
    :param copied: windows with a copy.
    :param length: samples of the turn.
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], own, [False]]).astype(np.int8)))
    spans = [(b, e) for b, e in edges.reshape(-1, 2).tolist() if (e - b) * _STEP >= _SHORTEST]
    if not spans:
        return [] if copied.sum() * _STEP >= _SHORTEST else [(0, length)]
    kept = [0]
    before, after = round(BEFORE / _STEP), round(AFTER / _STEP)
    ends = [0, *(end + after for _, end in spans)]
    begins = [*(begin - before for begin, _ in spans), len(own)]
    for number, (end, begin) in enumerate(zip(ends, begins, strict=True)):
        if (begin - end) * _STEP < _TOGETHER or copied[max(end, 0) : begin].sum() * _STEP < _SHORTEST:
            continue
        kept = kept[:-1] if number == 0 else [*kept, end]
        kept += [begin] if number < len(spans) else []
    kept += [len(own)] if len(kept) % 2 else []
    return [(begin * _HOP, min(end * _HOP, length)) for begin, end in zip(kept[::2], kept[1::2], strict=True)]


def _both(spans: list[tuple[int, int]], others: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Where spans of two lists, each in order, overlap."""
    overlaps = ((max(a, c), min(b, d)) for a, b in spans for c, d in others)
    return [(begin, end) for begin, end in overlaps if end > begin]
