"""Stretches say what is true of them, and what learns from them goes on where it was."""

import json
import shutil

import numpy as np
import pytest
from clip_folder import write_clips

from mister_e.encoders.voices.persistence import load_network
from mister_e.errors import InputError
from mister_e.training.recipe import read_recipe
from mister_e.training.settings import AugmentationConfig
from mister_e.training.settings.voices import StretchConfig, VoicesRecipe
from mister_e.training.voices.clips import Voices, find_folders, read_voices, to_int16
from mister_e.training.voices.run import run_voices
from mister_e.training.voices.stretches import draw_stretch
from mister_e.training.voices.task import scores

RATE = 16_000
CLEAN = AugmentationConfig(**{name: 0.0 for name in AugmentationConfig.model_fields if "probability" in name})
PLAIN = StretchConfig(
    voice_level_db=0, piece_level_db=0, piece_microphone=0, voice_speed=(1, 1), one_voice=0, over=0
)
RECIPE = """\
name: small
voices:
  corpora: {clips: 1.0}
  network: {layers: 1, width: 8, values: 4, windows: [0.3], hidden: 4, overlap_hidden: 2}
  stretches: {seconds: [1.0, 2.0], piece_seconds: [0.3, 0.6]}
  train: {epochs: 2, stretches: 16, validation_stretches: 8, batch_size: 4, trackers: []}
"""


def tone(pitch: float, seconds: float) -> np.ndarray:
    time = np.arange(int(seconds * RATE)) / RATE
    return to_int16((0.2 * np.sin(2 * np.pi * pitch * time)).astype(np.float32))


@pytest.fixture
def tones():
    """Four voices, each a pitch of its own."""
    return [Voices(1.0, [[tone(pitch, 6.0)] for pitch in (200, 500, 1100, 2500)])]


def pitch_of(sound: np.ndarray) -> int:
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    return round(int(np.argmax(spectrum)) * RATE / len(sound))


def test_a_change_is_where_the_voice_before_is_another_than_the_voice_after(tones):
    """A tone is its voice: the oracle hears the pitch on both sides."""
    config = PLAIN.model_copy(update={"overlap": 0.0, "gap_seconds": (0.0, 0.1), "piece_seconds": (1.0, 2.0)})
    heard = {0.0: 0, 1.0: 0}
    for seed in range(30):
        stretch = draw_stretch(tones, config, CLEAN, 6.0, np.random.default_rng(seed))
        assert len(stretch.sound) == 6 * RATE
        for moment, change in zip(stretch.moments, stretch.change, strict=True):
            if moment < 0.5:
                continue
            before = stretch.sound[: int((moment - 0.25) * RATE)][-RATE // 4 :]
            after = stretch.sound[int((moment + 0.25) * RATE) :][: RATE // 4]
            if min(len(before), len(after)) == RATE // 4 and min(np.ptp(before), np.ptp(after)) > 0.1:
                assert (abs(pitch_of(before) - pitch_of(after)) > 50) == bool(change)
                heard[float(change)] += 1
    assert min(heard.values()) > 20


def test_overlap_is_where_two_pitches_sound(tones):
    config = PLAIN.model_copy(update={"overlap": 1.0, "no_gap": 1.0, "change": 1.0})
    shared = []
    for seed in range(10):
        stretch = draw_stretch(tones, config, CLEAN, 8.0, np.random.default_rng(seed))
        assert len(stretch.overlap) == 80
        for number, told in enumerate(stretch.overlap):
            part = stretch.sound[number * 1600 : (number + 1) * 1600]
            spectrum = np.abs(np.fft.rfft(part * np.hanning(1600)))
            peaks = sum(
                spectrum[round(p / 10) - 2 : round(p / 10) + 3].max() > 20 for p in (200, 500, 1100, 2500)
            )
            if told in (0.0, 1.0):
                shared.append((peaks > 1) == bool(told))
    assert np.mean(shared) > 0.97
    alone = draw_stretch(
        tones, PLAIN.model_copy(update={"one_voice": 1.0}), CLEAN, 8.0, np.random.default_rng(0)
    )
    assert not alone.overlap.any()
    assert not alone.change.any()


def test_two_voices_are_enough_for_stretches_of_three():
    few = [Voices(1.0, [[tone(200, 3.0)]]), Voices(1.0, [[tone(500, 3.0)]])]
    config = PLAIN.model_copy(update={"max_voices": 8})
    found = [draw_stretch(few, config, CLEAN, 4.0, np.random.default_rng(seed)) for seed in range(8)]
    assert any(stretch.change.any() for stretch in found)


def test_one_state_of_the_generator_gives_one_stretch(tones):
    one, other = (
        draw_stretch(tones, StretchConfig(), AugmentationConfig(), 3.0, np.random.default_rng(4))
        for _ in "ab"
    )
    assert np.array_equal(one.sound, other.sound)
    assert np.array_equal(one.moments, other.moments)
    assert np.abs(one.sound).max() <= 1


def test_scores_of_what_is_right_and_of_what_is_not():
    truth = np.array([0, 0, 1, 1] * 20, np.float32)
    shared = np.array([0, 1] * 40, np.float32)
    found = {"truth": truth, "joins": np.ones(80, bool), "shared": shared}
    right = scores({**found, "change": truth, "overlap": shared})
    assert set(right.values()) == {100.0}
    wrong = scores({**found, "change": -truth, "overlap": -shared})
    assert set(wrong.values()) == {0.0}


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return read_recipe(path).voice_changes()


@pytest.fixture
def data(tmp_path):
    pitches = {"happy": 220.0, "sad": 150.0}
    names = tuple(f"voice {number}" for number in range(14))
    write_clips(tmp_path / "data" / "clips", pitches, voices=names, seconds=0.8)
    return tmp_path / "data"


def test_training_is_the_same_when_it_was_stopped_and_its_network_is_kept(recipe, data, tmp_path):
    whole = run_voices("small", recipe, [data], tmp_path / "whole", (0,), test=True)
    assert whole["seeds"] == [0]
    assert 0 <= whole["test_auc"]["mean"] <= 100
    result = json.loads((tmp_path / "whole" / "seed-0" / "result.json").read_text())
    assert len(result["history"]) == 2
    network = load_network(tmp_path / "whole" / "seed-0" / "voices")
    assert network.config == recipe.network
    # a run of one epoch less, then the rest
    shutil.copytree(tmp_path / "whole" / "kept", tmp_path / "parts" / "kept")
    shorter = tmp_path / "parts" / "seed-0"

    class StoppedError(Exception):
        pass

    def stop(stage: str, done: float, total: float) -> None:
        if stage == "voices" and done == 5:
            raise StoppedError

    with pytest.raises(StoppedError):
        run_voices("small", recipe, [data], tmp_path / "parts", (0,), progress=stop)
    assert not (shorter / "result.json").exists()
    run_voices("small", recipe, [data], tmp_path / "parts", (0,))
    again = json.loads((shorter / "result.json").read_text())
    assert again["history"] == result["history"]
    assert "voice 1" not in "".join(p.read_text(errors="ignore") for p in shorter.rglob("*.json"))


def test_what_was_kept_tells_no_voice(recipe, data, tmp_path):
    run_voices("small", recipe, [data], tmp_path / "run", (0,))
    for path in (tmp_path / "run").rglob("*"):
        assert not path.is_file() or b"voice 1" not in path.read_bytes(), path


def test_bad_input_is_told(recipe, data, tmp_path):
    with pytest.raises(
        InputError, match=r"no clips 'other'.*manifest\.csv; give the folder that holds other/"
    ):
        find_folders(["other"], [data])
    short = write_clips(data / "short", {"happy": 220.0}, seconds=0.3)
    both = {"clips": data / "clips", "short": short}
    with pytest.raises(
        InputError, match=r"short/manifest\.csv: no voice for validation with a clip of 0\.5 s"
    ):
        read_voices(both, dict.fromkeys(both, 1.0), "validation", tmp_path, clips_per_voice=2)
    few = write_clips(data / "few", {"happy": 220.0}, voices=("a", "b"))
    with pytest.raises(InputError, match=r"few/manifest\.csv: 2 voices cannot be split in three"):
        read_voices({"few": few}, {"few": 1.0}, "train", tmp_path, clips_per_voice=2)
    manifest = data / "clips" / "manifest.csv"
    manifest.write_text(manifest.read_text().replace("speaker", "who"))
    with pytest.raises(InputError, match=r"manifest\.csv: has no column speaker"):
        read_voices({"clips": data / "clips"}, {"clips": 1.0}, "train", tmp_path, clips_per_voice=2)
    for wrong, told in (
        ({"corpora": {}}, "corpora"),
        ({"corpora": {"a": 0}}, r"corpora\.a: expected a number above 0"),
        ({"corpora": {"a": 1}, "train": {"seed": 1}}, r"train\.seed: leave it out"),
        ({"corpora": {"a": 1}, "stretches": {"seconds": [3, 2]}}, "seconds: expected two numbers"),
        ({"corpora": {"a": 1}, "stretches": {"seconds": [3, 40]}}, "30 at most"),
        ({"corpora": {"a": 1}, "network": {"layers": 9}}, "layers"),
    ):
        with pytest.raises(ValueError, match=told):
            VoicesRecipe.model_validate(wrong)


def test_a_recipe_without_the_part_says_so(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("name: none\n")
    with pytest.raises(InputError, match=r"it has no part 'voices'; recipes/voice-changes\.yaml has one"):
        read_recipe(path).voice_changes()
