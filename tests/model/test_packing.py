import pytest
import torch
from batches import batch, conversations, few
from hypothesis import given
from hypothesis import strategies as st

from mister_e.errors import InputError
from mister_e.model import Packing


@given(parts=conversations(), extra=st.integers(0, 3))
@few
def test_packing_keeps_the_real_turns_in_order(parts, extra):
    turns = batch(parts, extra, garbage=torch.nan)
    packing = Packing.of(turns.mask)

    packed = packing.pack(turns.text)

    torch.testing.assert_close(packed, torch.cat([part.text for part in parts]), rtol=0, atol=0)
    torch.testing.assert_close(packing.unpack(packed), batch(parts, extra).text, rtol=0, atol=0)
    assert packing.padded == (not turns.mask.all())


def test_spaced_rows_part_conversations_by_the_gap():
    packing = Packing.of(torch.tensor([[True, True, False], [True, False, False], [True, True, True]]))

    assert packing.spaced(2).tolist() == [0, 1, 4, 7, 8, 9]
    assert packing.spaced(0).tolist() == [0, 1, 2, 3, 4, 5]


def test_a_row_knows_its_conversation_and_turn():
    packing = Packing.of(torch.tensor([[True, True, False], [True, False, False]]))

    assert [packing.place(row) for row in range(3)] == [(0, 0), (0, 1), (1, 0)]


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        (torch.tensor([[True, True], [False, True]]), ValueError, "conversation 1 .* pad before a real turn"),
        (torch.tensor([[True, False], [False, False]]), InputError, "conversation 1 .* has no turns"),
        (torch.ones(2, 0, dtype=torch.bool), InputError, "conversation 0 .* has no turns"),
        (torch.ones(0, 2, dtype=torch.bool), InputError, "no conversation"),
        (torch.ones(2, 2), ValueError, "bool"),
        (torch.ones(2, dtype=torch.bool), ValueError, r"bool \[B, T\], got torch.bool \[2\]"),
    ],
)
def test_masks_that_mean_nothing_are_refused(mask, error, message):
    with pytest.raises(error, match=message):
        Packing.of(mask)
