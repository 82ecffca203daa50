"""Ask an encoder's own classifier about turns, each classified as in fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mister_e.conversation import Conversation
from mister_e.encoders.base import UtteranceEncoder, device_of, embed_examples
from mister_e.errors import InputError
from mister_e.labels import LabelSet


def positions_of(conversations: Sequence[Conversation], labels: LabelSet) -> NDArray[np.int64]:
    """Labels of all turns as positions in the label set; -1 = unlabelled.

    :raises InputError: a label is not in the set.
    """
    place = {name: number for number, name in enumerate(labels)}
    for conversation in conversations:
        for turn in conversation:
            if turn.label is not None and turn.label not in place:
                raise InputError(
                    f"conversation {conversation.id}, turn {turn.id}: label {turn.label!r}"
                    f" is none of {', '.join(place)}"
                )
    return np.array(
        [
            -1 if turn.label is None else place[turn.label]
            for conversation in conversations
            for turn in conversation
        ],
        np.int64,
    )


@torch.inference_mode()
def classify(
    encoder: UtteranceEncoder, conversations: Sequence[Conversation], *, accelerator: Any = None
) -> NDArray[np.int64]:
    """Position of the likeliest label of each turn; -1 = the modality is missing.

    :param encoder: has a classifier.
    :param conversations: N turns together.
    :param accelerator: shares the work among its processes; None = this one does all.
    """
    count = sum(map(len, conversations))
    examples = encoder.examples(conversations)
    processes = 1 if accelerator is None else accelerator.num_processes
    mine = examples if processes == 1 else examples[accelerator.process_index :: processes]
    training = encoder.training
    encoder.eval()
    embeddings, present = embed_examples(encoder, mine, count)
    likeliest = encoder.logits(embeddings.to(device_of(encoder))).argmax(-1).cpu()
    encoder.train(training)
    found = torch.where(present, likeliest + 1, 0)
    if processes > 1:
        found = accelerator.reduce(found.to(accelerator.device), "sum").cpu()
    result: NDArray[np.int64] = found.numpy() - 1
    return result
