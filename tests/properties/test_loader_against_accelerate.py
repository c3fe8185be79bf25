"""A pass of a loader is what Accelerate's and torch's own samplers yield, one instance per process."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dist_epochs.arithmetic.loader import Loader
from dist_epochs.errors import InputError

torch_data = pytest.importorskip("torch.utils.data")
accelerate_data = pytest.importorskip("accelerate.data_loader")

SAMPLES = st.integers(1, 120)
PER_DEVICE = st.integers(1, 20)
DEVICES = st.integers(1, 9)


def batches_of_each_process(samples, per_device, devices, uneven):
    """Accelerate's micro-batches, as `prepare_data_loader` makes them: one process is not sharded."""
    batches = torch_data.BatchSampler(torch_data.SequentialSampler(range(samples)), per_device, uneven == "drop")
    if devices == 1:
        return [list(batches)]
    shard = accelerate_data.BatchSamplerShard
    return [list(shard(batches, devices, index, even_batches=uneven == "pad")) for index in range(devices)]


@settings(max_examples=500, deadline=None)
@given(samples=SAMPLES, per_device=PER_DEVICE, devices=DEVICES, uneven=st.sampled_from(["pad", "drop", "keep"]))
def test_accelerate(samples, per_device, devices, uneven):
    processes = batches_of_each_process(samples, per_device, devices, uneven)
    drawn = [sample for batches in processes for batch in batches for sample in batch]
    try:
        loader = Loader(samples=samples, per_device=per_device, data_parallel_size=devices, uneven=uneven)
    except InputError:
        assert not drawn
        return
    assert loader.drawn_per_pass == len(drawn)
    assert loader.duplicates_per_pass == len(drawn) - len(set(drawn))
    assert loader.dropped_per_pass == samples - len(set(drawn))
    assert loader.micro_steps_per_pass == max(len(batches) for batches in processes) == len(processes[0])
    if uneven != "keep":
        assert {len(batches) for batches in processes} == {loader.micro_steps_per_pass}
    for index in range(loader.micro_steps_per_pass - 1):  # only the last round of a pass may be short
        assert all(len(batches[index]) == per_device for batches in processes)


@pytest.mark.parametrize("uneven", ["pad", "keep", "drop"])
def test_accelerate_does_not_shard_for_one_process(uneven, monkeypatch):
    monkeypatch.setattr(accelerate_data.PartialState, "_shared_state", {})
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    theirs = torch_data.DataLoader(range(7), batch_size=3, drop_last=uneven == "drop")
    prepared = accelerate_data.prepare_data_loader(
        theirs, num_processes=1, process_index=0, even_batches=uneven == "pad"
    )
    loader = Loader(samples=7, per_device=3, uneven=uneven)
    sizes = [len(batch) for batch in prepared]
    assert (loader.drawn_per_pass, loader.micro_steps_per_pass) == (sum(sizes), len(sizes))


@settings(max_examples=200, deadline=None)
@given(samples=SAMPLES, per_device=PER_DEVICE, devices=DEVICES, drop_last=st.booleans())
def test_distributed_sampler_keeps_a_rounded_corpus(samples, per_device, devices, drop_last):
    sampler = torch_data.DistributedSampler
    processes = [
        list(torch_data.BatchSampler(sampler(range(samples), devices, rank, drop_last=drop_last), per_device, False))
        for rank in range(devices)
    ]
    rounded = (samples if drop_last else samples + devices - 1) // devices * devices
    drawn = sum(len(batch) for batches in processes for batch in batches)
    if not rounded:
        assert drawn == 0
        return
    loader = Loader(samples=rounded, per_device=per_device, data_parallel_size=devices, uneven="keep")
    assert (loader.drawn_per_pass, loader.micro_steps_per_pass) == (drawn, len(processes[0]))
