"""Speak the sample conversation and write its audio, subtitles and transcript beside this file.

Needs `pip install hibari-tts==0.2.1 av numpy`; reads nothing else and gives the same samples every time.
The wheel holds one voice. The second one is made from it inside the synthesiser, before a waveform
exists: a lower pitch and a longer vocal tract (the spectral envelope moved down). Prosody follows the
feeling in the same place, so that neither leaves the marks of a pitch shifter.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from hibari import Hibari, dsp
from numpy.typing import NDArray

RATE = 16_000
SENTENCE_PAUSE = 0.15  # seconds between the sentences of a turn: well below the pause between turns
FOLDER = Path(__file__).parent
NAME = "conversation"
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Voice:
    """A speaker: pitch in semitones from the synthesiser's voice, formants as a factor."""

    channel: int
    pitch: float
    formants: float


@dataclass(frozen=True)
class Prosody:
    """How a feeling sounds.

    `pitch` and `sway` are semitones (sway: a tremble at 6 Hz), `melody` stretches the pitch movement,
    `level` is dB RMS full scale, `effort` tilts the spectrum (dB per octave above 500 Hz), `breath`
    is dB of aspiration noise.
    """

    rate: float = 1.0
    pitch: float = 0.0
    melody: float = 1.0
    level: float = -25.0
    effort: float = 0.0
    breath: float = 0.0
    sway: float = 0.0


SISTER = Voice(channel=0, pitch=0.5, formants=1.03)
BROTHER = Voice(channel=1, pitch=-9.0, formants=0.86)

PROSODY = {
    "neutral": Prosody(rate=1.02, melody=0.85),
    "joy": Prosody(rate=1.08, pitch=2.5, melody=1.45, level=-23.0, effort=1.0),
    "sadness": Prosody(rate=0.8, pitch=-2.0, melody=0.55, level=-28.5, effort=-2.0, breath=3.0),
    "anger": Prosody(rate=1.1, pitch=2.0, melody=1.3, level=-20.5, effort=2.5),
    "surprise": Prosody(rate=1.05, pitch=3.5, melody=1.6, level=-23.5, effort=0.5),
    "fear": Prosody(rate=1.0, pitch=2.5, melody=0.8, level=-26.5, effort=-0.5, breath=4.0, sway=0.35),
    "disgust": Prosody(rate=0.88, pitch=-1.5, melody=1.2, level=-24.5, effort=1.5),
}

#: Who speaks, the feeling the author had in mind, the pause before (seconds), the words.
LINES = (
    (BROTHER, "neutral", 0.5, "Hi, it's me. I'm at your apartment to water the plants."),
    (SISTER, "joy", 0.6, "Oh, thank you so much! You're the best brother in the world!"),
    (BROTHER, "neutral", 0.6, "I picked up your mail, too. There's a letter from the university."),
    (SISTER, "surprise", 0.6, "Wait, what? Already? I didn't expect that until next month!"),
    (BROTHER, "neutral", 0.7, "Do you want me to open it?"),
    (SISTER, "fear", 0.9, "I don't know. I'm really scared. What if they said no?"),
    (BROTHER, "joy", 0.8, "You got in! They're giving you the full scholarship!"),
    (SISTER, "joy", 0.6, "Yes! Oh, this is wonderful! I'm so happy!"),
    (BROTHER, "disgust", 0.8,
     "Wait, what is that smell? Your fridge is off, and the meat is rotten. That's disgusting."),
    (SISTER, "anger", 0.6, "I told the landlord three times to fix it! I'm so sick of his excuses!"),
    (BROTHER, "sadness", 0.9, "There's something else. I'm so sorry. Your little fish died."),
    (SISTER, "sadness", 0.9, "Oh no, I had him for six years. I'm going to miss him so much."),
    (BROTHER, "neutral", 0.8, "I'll clean up here and call the landlord this afternoon."),
    (SISTER, "neutral", 0.6, "Okay. Thank you. I'll be home on Sunday evening."),
)  # fmt: skip


def warp(spectrum: Floats, factor: float) -> Floats:
    """Move the features of `[bins, frames]` along frequency by `factor`; nearest bin keeps phases whole."""
    bins = np.arange(len(spectrum))
    return spectrum[np.minimum(np.rint(bins / factor).astype(int), len(spectrum) - 1)]


def melody(f0: Floats, semitones: float, prosody: Prosody) -> Floats:
    """Pitch contour in Hz, moved, stretched around its middle, and trembling; 0 stays unvoiced."""
    voiced = f0 > 40
    tones = 12 * np.log2(np.where(voiced, f0, 1.0))
    middle = np.median(tones[voiced])
    seconds = np.arange(len(f0)) * dsp.HOP / dsp.SR
    tones = middle + semitones + prosody.melody * (tones - middle)
    tones += prosody.sway * np.sin(2 * np.pi * 6 * seconds)
    return np.where(voiced, 2 ** (tones / 12), 0).astype(np.float32)


def speak_sentence(tts: Hibari, phonemes: str, voice: Voice, prosody: Prosody, seed: int) -> Floats:
    """Audio of one sentence at the synthesiser's rate."""
    ids = np.asarray([tts.ids(phonemes)], np.int64)
    speed = np.asarray([prosody.rate], np.float32)
    *spectra, f0 = (part[0] for part in tts.sess.run(None, {"ids": ids, "speed": speed}))
    harmonics, turn, noise, rest, phase = (warp(part, voice.formants) for part in spectra)
    decibel = np.log(10) / 20
    hertz = np.arange(len(harmonics)) * dsp.SR / dsp.N_FFT
    tilt = (prosody.effort * decibel * np.log2(np.maximum(hertz, 500) / 500))[:, None].astype(np.float32)
    return dsp.synth(
        harmonics + tilt,
        turn,
        noise + tilt + np.float32(prosody.breath * decibel),
        rest + tilt,
        phase,
        melody(f0, voice.pitch + prosody.pitch, prosody),
        np.random.default_rng(seed),
    )


def resample(audio: Floats) -> Floats:
    """Mono audio at the synthesiser's rate, at `RATE`."""
    frame = av.AudioFrame.from_ndarray(audio[None], format="flt", layout="mono")
    frame.sample_rate = dsp.SR
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    pieces = [piece.to_ndarray()[0] for step in (frame, None) for piece in resampler.resample(step)]
    return np.concatenate(pieces)


def trim(audio: Floats, floor: float = 0.003) -> Floats:
    """Drop silence at both ends, keeping 50 ms, and fade the edges."""
    loud = np.flatnonzero(np.abs(audio) > floor * np.abs(audio).max())
    margin = RATE // 20
    audio = audio[max(loud[0] - margin, 0) : loud[-1] + margin].copy()
    fade = np.linspace(0, 1, margin // 2, dtype=np.float32)
    audio[: len(fade)] *= fade
    audio[-len(fade) :] *= fade[::-1]
    return audio


def speak(tts: Hibari, text: str, voice: Voice, prosody: Prosody, seed: int) -> Floats:
    """Audio of one turn at `RATE`, at the level its feeling asks for."""
    breath = np.zeros(round(SENTENCE_PAUSE / prosody.rate * RATE), np.float32)
    pieces: list[Floats] = []
    for i, phonemes in enumerate(tts.phonemize(text)):
        pieces += [breath, trim(resample(speak_sentence(tts, phonemes, voice, prosody, seed + i)))]
    audio = np.concatenate(pieces[1:])
    audio *= 10 ** (prosody.level / 20) / np.sqrt(np.mean(audio**2))
    # A soft knee keeps single peaks below full scale, also after a lossy codec, and touches nothing else.
    knee, room = 0.6, 0.2
    over = np.abs(audio) > knee
    audio[over] = np.sign(audio[over]) * (knee + room * np.tanh((np.abs(audio[over]) - knee) / room))
    return audio


def perform() -> tuple[Floats, list[dict[str, object]]]:
    """Audio `[2, samples]`, one voice a channel, over faint room noise, and the turns with their times."""
    tts = Hibari()
    turns, placed, clock = [], [], 0.0
    for number, (voice, feeling, pause, text) in enumerate(LINES, start=1):
        audio = speak(tts, text, voice, PROSODY[feeling], seed=100 * number)
        start = round(clock + pause, 2)
        clock = start + len(audio) / RATE
        placed.append((round(start * RATE), voice.channel, audio))
        turns.append({
            "id": str(number), "text": text, "start": start, "end": round(clock, 2),
            "channel": voice.channel, "audio": None, "label": None, "custom": {},
        })  # fmt: skip
    length = round((clock + 0.5) * RATE)
    room = np.random.default_rng(0).standard_normal((2, length)) * 10 ** (-86 / 20)
    stage = room.astype(np.float32)
    for first, channel, audio in placed:
        stage[channel, first : first + len(audio)] += audio
    return stage, turns


def write_audio(path: Path, audio: Floats, codec: str, options: dict[str, str]) -> None:
    """Write `[channels, samples]`; the suffix of `path` names the container."""
    samples = np.rint(np.clip(audio, -1, 1) * 32767).astype(np.int16)
    layout = "stereo" if len(audio) == 2 else "mono"
    # Bit-exact: an Ogg file otherwise carries a random serial number.
    with av.open(path, "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(codec, rate=RATE, layout=layout, format="s16", options=options)
        frame = av.AudioFrame.from_ndarray(samples.T.reshape(1, -1).copy(), format="s16", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        for step in (frame, None):
            container.mux(stream.encode(step))


def clock_time(seconds: float) -> str:
    """Time as SubRip writes it."""
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02},{ms % 1000:03}"


def main() -> None:
    """Write the four files."""
    stage, turns = perform()
    mono = stage.sum(0, keepdims=True)
    write_audio(FOLDER / f"{NAME}.flac", mono, "flac", {"compression_level": "12"})
    write_audio(FOLDER / f"{NAME}-stereo.ogg", stage, "libopus", {"b": "64k", "application": "audio"})
    cues = (f"{t['id']}\n{clock_time(t['start'])} --> {clock_time(t['end'])}\n{t['text']}\n" for t in turns)
    (FOLDER / f"{NAME}.srt").write_text("\n".join(cues), encoding="utf-8")
    data = {
        "id": NAME,
        "source": f"{NAME}.flac",
        "duration": round(stage.shape[1] / RATE, 2),
        # The mono mix has no channels to tell apart; the dual-channel file does.
        "utterances": [{**turn, "channel": None} for turn in turns],
    }
    (FOLDER / f"{NAME}.json").write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
