"""The network that tells changes of voice as a folder: `voices.json` and `model.safetensors`."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from mister_e.encoders.voices.network import VoiceChangeConfig, VoiceChangeNetwork
from mister_e.errors import InputError
from mister_e.files import replacing, write_text
from mister_e.pretrained import model_folder
from mister_e.pretrained.model_files import check_links, read_json, read_tensors
from mister_e.pretrained.weights import load_strictly

CONFIG, WEIGHTS = "voices.json", "model.safetensors"


def save_network(network: VoiceChangeNetwork, folder: Path, *, dtype: torch.dtype = torch.float16) -> None:
    """Write the weights that are not the base's, then `voices.json`, so that half a folder is none.

    :param network: what was trained.
    :param folder: made where it is missing.
    :param dtype: precision of the weights on disk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: value.detach().cpu().to(dtype).contiguous() for name, value in network.state_dict().items()
    }
    with replacing(folder / WEIGHTS) as temporary:
        save_file(weights, temporary)
    write_text(folder / CONFIG, json.dumps(network.config.model_dump(mode="json"), indent=2) + "\n")


def find_network(name: str) -> Path:
    """Find the network by what people call it.

    :param name: its folder, that of the run which made it, or a model that has one: a folder, or bundled.
    :return: its folder.
    :raises InputError: there is none.
    """
    folder = Path(name)
    if not folder.is_dir():
        folder = model_folder(name)
    for place in (folder, folder / "voices"):
        if (place / CONFIG).is_file():
            return place
    seeds = sorted(path.name for path in folder.glob("seed-*"))
    hint = f"; it holds runs: name one, such as {folder / seeds[0]}" if seeds else ""
    raise InputError(
        f"{name}: it has nothing that tells changes of voice: no {CONFIG}, nor voices/{CONFIG}{hint}"
    )


def load_network(folder: Path) -> VoiceChangeNetwork:
    """Read what `save_network` wrote.

    :raises InputError: a file is missing or damaged, or the weights are of other sizes.
    """
    try:
        check_links(folder)
        config = VoiceChangeConfig.model_validate(read_json(folder / CONFIG))
        weights = read_tensors(folder / WEIGHTS)
    except FileNotFoundError as error:
        raise InputError(
            f"{error.filename}: missing; {folder} does not hold a whole network for changes of voice"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"{folder / CONFIG}: field {field!r}: {first['msg']}; get the folder again, or train it anew"
        ) from None
    network = VoiceChangeNetwork(config)
    load_strictly(network, weights, folder / WEIGHTS)
    return network.eval()
