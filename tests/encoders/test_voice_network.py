"""The network that compares voices: pads change nothing, windows are windows, folders are checked."""

import json

import pytest
import torch

from mister_e.encoders.speech.whisper_layers import WhisperStates
from mister_e.encoders.voices.network import VoiceChangeConfig, VoiceChangeNetwork
from mister_e.encoders.voices.persistence import find_network, load_network, save_network
from mister_e.errors import InputError

SMALL = VoiceChangeConfig(layers=1, width=12, values=8, windows=(0.2, 0.5), hidden=8, overlap_hidden=4)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return VoiceChangeNetwork(SMALL).eval()


@pytest.fixture
def folder(network, tmp_path):
    save_network(network, tmp_path / "voices")
    return tmp_path / "voices"


def test_pads_and_neighbours_change_nothing(network):
    torch.manual_seed(1)
    mels, lengths = torch.randn(3, 200, 80), torch.tensor([200, 133, 20])
    moments = torch.tensor([[0.5, 1.0, 1.9], [0.1, 0.6, 1.2], [0.1, 0.0, 0.0]])
    padded = torch.full((3, 300, 80), torch.nan)
    padded[:, :200] = mels
    with torch.inference_mode():
        change, overlap = network(padded, lengths, moments)
        for row, length in enumerate(lengths.tolist()):
            alone = network(mels[row : row + 1, :length], lengths[row : row + 1], moments[row : row + 1])
            torch.testing.assert_close(alone[0][0], change[row], atol=1e-5, rtol=1e-4)
            tenths = alone[1].shape[1]
            assert tenths == -(-length // 10)
            torch.testing.assert_close(alone[1][0], overlap[row, :tenths], atol=1e-5, rtol=1e-4)
            assert not overlap[row, tenths:].any()


def test_a_moment_is_judged_by_its_windows_alone(network):
    """Windows reach half a second; what is further away counts for nothing."""
    states, real = torch.randn(1, 100, 384), torch.full((1, 100), 2)
    other = states.clone()
    other[:, :37], other[:, 63:] = torch.randn(1, 37, 384), 0.0
    moments = torch.tensor([[2.0]])
    with torch.inference_mode():
        first, second = (network.judge(found, real, moments)[0] for found in (states, other))
        other[:, 40:50] = torch.randn(1, 10, 384)
        third = network.judge(other, real, moments)[0]
    torch.testing.assert_close(first, second, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(second, third, atol=1e-4)


def test_the_window_of_a_moment_is_the_weighted_mean_and_deviation_of_its_states(network):
    """The oracle sums the states of a window one by one."""
    torch.manual_seed(2)
    states = torch.randn(1, 100, SMALL.width)
    value, weight = network.value(states)[0], network.score(states)[0].exp() + 1e-4
    sums = torch.cat([weight, weight * value, weight * value.square()], -1).cumsum(0)
    sums = torch.nn.functional.pad(sums, (0, 0, 1, 0))[None]
    found = network._window(sums, torch.tensor([[20]]), torch.tensor([[45]]))[0, 0]
    part, own = value[20:45], weight[20:45] / weight[20:45].sum(0)
    mean = (own * part).sum(0)
    deviation = (own * (part - mean).square()).sum(0).sqrt()
    torch.testing.assert_close(found, network.describe(torch.cat([mean, deviation])), atol=1e-3, rtol=1e-3)


def test_a_stretch_without_sound_gives_numbers(network):
    change, overlap = network(torch.zeros(1, 50, 80), torch.tensor([0]), torch.tensor([[0.0]]))
    assert change.isfinite().all()
    assert overlap.shape[1] >= 5
    assert (overlap == 0).all()


def test_the_base_is_shared_by_all_that_stand_on_it_and_is_not_saved(network, folder):
    other, whole = VoiceChangeNetwork(SMALL), WhisperStates(4)
    for name in ("first.weight", "positions", "layers.0.feed_in.weight", "layers.0.feed_norm.bias"):
        assert network.states.get_buffer(name) is other.states.get_buffer(name), name
        assert network.states.get_buffer(name) is whole.get_buffer(name), name
    assert len(network.states.layers) == 1
    assert not any(name.startswith("states.") for name in network.state_dict())
    assert (folder / "model.safetensors").stat().st_size < 50_000


def test_saved_and_loaded_tells_the_same(network, folder):
    again = load_network(folder)
    assert again.config == SMALL
    mels, lengths, moments = torch.randn(1, 100, 80), torch.tensor([100]), torch.tensor([[0.5]])
    with torch.inference_mode():
        for one, other in zip(network(mels, lengths, moments), again(mels, lengths, moments), strict=True):
            torch.testing.assert_close(one, other, atol=0.02, rtol=0.02)


def test_a_network_is_found_in_its_folder_and_in_what_holds_it(folder, tmp_path):
    assert find_network(str(folder)) == find_network(str(tmp_path)) == folder
    (tmp_path / "runs" / "seed-3").mkdir(parents=True)
    with pytest.raises(InputError, match=r"nothing that tells changes of voice.*name one, such as .*seed-3"):
        find_network(str(tmp_path / "runs"))
    with pytest.raises(InputError, match="unknown model 'nowhere'"):
        find_network("nowhere")


def test_weights_of_other_sizes_are_refused(folder):
    config = json.loads((folder / "voices.json").read_text())
    (folder / "voices.json").write_text(json.dumps({**config, "width": 16}))
    with pytest.raises(InputError, match=r"model\.safetensors: weight '.*' is \[.*\], expected \[.*\]"):
        load_network(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"layers": 5}, r"voices\.json: field 'layers'"),
        ({"base": "whisper-base"}, r"voices\.json: field 'base'"),
        ({"speakers": 3}, r"voices\.json: field 'speakers'"),
        ({"windows": []}, r"voices\.json: field 'windows'"),
        ({"windows": [0.001]}, r"voices\.json: field 'windows\.0'"),
    ],
)
def test_a_configuration_that_cannot_be_is_named(folder, change, told):
    config = json.loads((folder / "voices.json").read_text())
    (folder / "voices.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(InputError, match=told):
        load_network(folder)


@pytest.mark.parametrize("name", ["voices.json", "model.safetensors"])
def test_half_a_folder_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(InputError, match=rf"{name}: missing; .* whole network"):
        load_network(folder)
    (folder / name).write_bytes(b"{")
    with pytest.raises(InputError, match=name):
        load_network(folder)


def test_states_are_means_of_two_of_the_base(network):
    mels, lengths = torch.randn(2, 30, 80), torch.tensor([30, 21])
    layers, real = network.states(mels, lengths)
    states, count = network.read(mels, lengths)
    assert states.shape == (2, 8, 384)
    assert count.tolist() == [[2] * 7 + [1], [2] * 5 + [1, 0, 0]]
    for row in range(2):
        for place in range(8):
            own = [layers[1][row, i] for i in (2 * place, 2 * place + 1) if i < 15 and real[row, i]]
            expected = torch.stack(own).mean(0) if own else torch.zeros(384)
            torch.testing.assert_close(states[row, place], expected, atol=1e-5, rtol=1e-5)
