"""Which tensors of a batch are counted."""

import pytest
import torch

from dist_epochs.errors import InputError
from dist_epochs.integrations.batch_parts import is_second_a_mask, parts_of

IDS = torch.tensor([[5, 6, 7, 0], [8, 9, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])


@pytest.mark.parametrize("batch", [{}, [], "text", {"size": 3}, {"loss": torch.tensor(1.0)}, None])
def test_a_batch_without_samples_is_refused(batch):
    with pytest.raises(InputError, match=r"without a tensor or a list whose first dimension is its samples"):
        parts_of(batch, second_is_mask=False)


@pytest.mark.parametrize(
    ("batch", "is_mask"),
    [
        ((IDS, MASK), True),
        ((IDS, MASK, IDS), True),
        ({"ids": IDS, "mask": MASK}, False),  # a mapping names its parts
        ((IDS,), False),
        ((IDS, IDS), False),
        ((IDS, torch.tensor([[1, 0, 1, 0], [1, 1, 0, 0]])), False),  # two stretches: labels of 0 and 1
        ((IDS, torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0]])), False),  # what it hides is not one id
        ((IDS, MASK[:, :3]), False),
    ],
)
def test_whether_the_second_tensor_is_a_mask(batch, is_mask):
    assert is_second_a_mask(batch) is is_mask


def test_a_tuple_by_its_places():
    masked = parts_of((IDS, MASK, IDS), second_is_mask=True)
    assert masked.mask is MASK
    assert masked.labels is IDS
    plain = parts_of((IDS, MASK), second_is_mask=False)
    assert plain.mask is None
    assert plain.labels is MASK
