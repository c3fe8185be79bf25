import pytest

from dist_epochs.arithmetic.batch import BatchError, GlobalBatch

UNEVEN = "`uneven: allow`, which lets devices differ by one sample"


def test_an_impossible_batch():
    with pytest.raises(BatchError) as caught:
        GlobalBatch(samples=64, data_parallel_size=6, per_device=4)
    assert caught.value.asked == "global batch 64 cannot be built on 6 devices with 4 samples each"
    assert caught.value.rule == "6 × 4 × k = 24, 48, 72, …"
    assert caught.value.fixes == (
        "48 (accumulate 2)", "72 (accumulate 3)", "60 or 66, with fewer samples in some micro-steps", UNEVEN,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("samples", "devices", "per_device", "fixes"),
    [
        (5, 6, 4, ("24 (accumulate 1)", "6, with fewer samples in some micro-steps", UNEVEN)),
        (7, 8, 8, ("64 (accumulate 1)", "8, with fewer samples in some micro-steps", UNEVEN)),
        (7, 8, 1, ("8 (accumulate 1)", UNEVEN)),
    ],
)
def test_the_nearest_batches_are_named_once(samples, devices, per_device, fixes):
    with pytest.raises(BatchError) as caught:
        GlobalBatch(samples=samples, data_parallel_size=devices, per_device=per_device)
    assert caught.value.fixes == fixes


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
