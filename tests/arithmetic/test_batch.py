import pytest

from dist_epochs.arithmetic.batch import BatchError, GlobalBatch


def test_an_impossible_batch():
    with pytest.raises(BatchError) as caught:
        GlobalBatch(samples=64, data_parallel_size=6, per_device=4)
    assert str(caught.value) == (
        "global batch 64 cannot be built on 6 devices with 4 samples each: 6 × 4 × k = 24, 48, 72, … "
        "Try 48 (accumulate 2), or 72 (accumulate 3), or 60 or 66, with fewer samples in some micro-steps, "
        "or `uneven: allow`, which lets devices differ by one sample."
    )


def test_below_the_smallest_there_is_only_one_neighbour():
    with pytest.raises(BatchError, match=r"Try 24 \(accumulate 1\), or 6, with fewer"):
        GlobalBatch(samples=5, data_parallel_size=6, per_device=4)


def test_other_batches_are_named_once():
    with pytest.raises(BatchError, match=r"64 \(accumulate 1\), or 8, with fewer"):
        GlobalBatch(samples=7, data_parallel_size=8, per_device=8)
    with pytest.raises(BatchError, match=r"8 \(accumulate 1\), or `uneven: allow`, which lets"):
        GlobalBatch(samples=7, data_parallel_size=8, per_device=1)


@pytest.mark.parametrize("field", ["samples", "data_parallel_size", "per_device"])
def test_sizes_are_positive(field):
    sizes = {"samples": 8, "data_parallel_size": 2, "per_device": 2, field: 0}
    with pytest.raises(BatchError, match="must be at least 1"):
        GlobalBatch(**sizes)


def test_uneven_slices_differ_by_one():
    batch = GlobalBatch(samples=5, data_parallel_size=4, per_device=1, uneven=True)
    assert batch.gradient_accumulation == 2
    assert [batch.micro_batches(rank) for rank in range(4)] == [
        (range(0, 1), range(1, 2)), (range(2, 3), range(3, 3)), (range(3, 4), range(4, 4)), (range(4, 5), range(5, 5)),
    ]  # fmt: skip
