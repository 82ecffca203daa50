"""Go on from an encoder that was fine-tuned elsewhere: what it learned there helps on less data."""

from __future__ import annotations

from mister_e.encoders.backbones.lora import adapter_weights
from mister_e.encoders.base import UtteranceEncoder
from mister_e.encoders.registry import find_encoder, load_encoder
from mister_e.errors import InputError
from mister_e.experts import Modality


def find_start(name: str, modality: Modality) -> UtteranceEncoder:
    """Load the encoder to go on from.

    :param name: folder of an encoder or of its run, or a bundled model.
    :param modality: which of a model's encoders.
    :raises InputError: there is no such encoder.
    """
    return load_encoder(find_encoder(name, modality))


def go_on_from(encoder: UtteranceEncoder, start: UtteranceEncoder, name: str) -> None:
    """Take all that was trained, but for the classifier: the labels are others.

    :param encoder: new, changed in place.
    :param start: of the same kind, base and sizes.
    :param name: what people call it, for messages.
    :raises InputError: it is of another kind, base or size.
    """
    wanted, found = (
        {key: value for key, value in adapter_weights(either).items() if not key.startswith("classify.")}
        for either in (encoder, start)
    )
    bases = [getattr(either.config, "base", None) for either in (start, encoder)]
    if encoder.kind != start.kind or bases[0] != bases[1]:
        raise InputError(
            f"start: {name} is a {start.kind} encoder on {bases[0]!r},"
            f" the recipe has {encoder.kind} on {bases[1]!r}"
        )
    for weight in sorted(wanted.keys() | found.keys()):
        shapes = [list(weights[weight].shape) if weight in weights else None for weights in (wanted, found)]
        if shapes[0] != shapes[1]:
            raise InputError(
                f"start: weight {weight!r} of {name} is {shapes[1]}, the recipe's is {shapes[0]};"
                " take its sizes, pooling and lora"
            )
    encoder.load_state_dict(found, strict=False)
