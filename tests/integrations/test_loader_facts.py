"""What is read from loaders of torch and Accelerate, compared with what they really draw."""

import pytest
from accelerate.data_loader import DataLoaderDispatcher, prepare_data_loader
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset, Subset
from tqdm import tqdm

from dist_epochs.integrations.loader_facts import LoaderFacts, loader_facts


class Numbers(IterableDataset):
    def __iter__(self):
        return iter(range(10))


@given(
    st.integers(1, 60), st.integers(1, 6), st.integers(1, 5), st.booleans(), st.booleans(), st.booleans(), st.booleans()
)  # fmt: skip
def test_what_a_pass_will_draw(samples, per_device, ranks, drop, even, split, shuffle):
    """Accelerate's shards of one loader, all ranks in one process."""
    size = per_device * ranks if split else per_device
    assume(even or not split)  # Accelerate's own split of uneven batches is another thing
    assume(not split or ranks > 1)
    loaders = [
        prepare_data_loader(
            DataLoader(list(range(samples)), size, shuffle=shuffle, drop_last=drop), num_processes=ranks,
            process_index=rank, split_batches=split, even_batches=even, put_on_device=False, dispatch_batches=False,
        )
        for rank in range(ranks)
    ]  # fmt: skip
    facts = loader_facts(loaders[0], ranks)
    assert (facts.samples, facts.per_device, facts.is_stream) == (samples, per_device, False)
    inner = [getattr(loader.batch_sampler, "batch_sampler", loader.batch_sampler) for loader in loaders]
    assert facts.sampler == type(inner[0].sampler).__name__
    drawn = sum(len(batch) for loader in loaders for batch in loader.batch_sampler)
    assert facts.drawn_per_pass(samples, ranks) == drawn
    assert len(facts.splitters) == (ranks > 1)


@given(st.integers(1, 60), st.integers(1, 5), st.booleans(), st.booleans())
def test_a_distributed_sampler(samples, ranks, drop, drop_batch):
    assume(samples >= ranks or not drop)
    assume(ranks > 1 or not drop_batch)  # one rank alone has no share
    data = list(range(samples))
    loaders = [
        DataLoader(data, 3, sampler=DistributedSampler(data, ranks, rank, drop_last=drop), drop_last=drop_batch)
        for rank in range(ranks)
    ]
    facts = loader_facts(loaders[0], ranks)
    assert facts.drawn_per_pass(samples, ranks) == sum(len(batch) for loader in loaders for batch in loader)


@pytest.mark.parametrize("split", [True, False])
@pytest.mark.parametrize("ranks", [2, 3])
def test_a_stream_that_is_split(ranks, split):
    """Where batches are split, Accelerate has divided the loader's batch size already."""
    loader = prepare_data_loader(
        DataLoader(Numbers(), 6, num_workers=2), num_processes=ranks, process_index=0, split_batches=split,
        put_on_device=False, dispatch_batches=False,
    )  # fmt: skip
    facts = loader_facts(loader, ranks)
    assert (facts.per_device, facts.workers) == (len(next(iter(loader))), 2)


def test_a_dispatcher_that_drops_its_end_pads_to_nothing():
    drops, pads = (DataLoaderDispatcher(list(range(37)), batch_size=4, _drop_last=drop) for drop in (True, False))
    assert [loader_facts(loader, 2).drawn_per_pass(37, 2) for loader in (drops, pads)] == [32, 38]


def test_a_progress_bar_around_a_loader():
    loader = DataLoader([1, 2, 3], 2, drop_last=True)
    assert loader_facts(tqdm(loader, disable=True), 1) == loader_facts(loader, 1)


def test_other_loaders():
    stream = loader_facts(DataLoader(Numbers(), 4), 2)
    assert (stream.is_stream, stream.samples, stream.per_device, stream.splitters) == (True, None, 4, ())
    part = loader_facts(DataLoader(Subset(list(range(9)), [1, 2, 3]), 2), 1)
    assert part.samples == 3, "a part of the data is the data"
    assert (
        loader_facts([1, 2, 3], 2) == LoaderFacts(sampler="NoneType") or loader_facts([1, 2, 3], 2).per_device is None
    )
    assert loader_facts(iter([]), 1).drawn_per_pass(10, 1) is None


@pytest.mark.parametrize("kind", ["rows", "stream"])
def test_data_that_is_split_twice_names_both(kind):
    data = list(range(24))
    sampler = DistributedSampler(data, 2, 0)
    twice = prepare_data_loader(
        DataLoader(data, 4, sampler=sampler),
        num_processes=2,
        process_index=0,
        put_on_device=False,
        dispatch_batches=False,
    )
    if kind == "rows":
        assert loader_facts(twice, 2).splitters == ("Accelerate's BatchSamplerShard", "torch's DistributedSampler")
    shard = prepare_data_loader(
        DataLoader(Numbers(), 4), num_processes=2, process_index=0, put_on_device=False, dispatch_batches=False
    )
    if kind == "stream":
        assert loader_facts(shard, 2).splitters == ("Accelerate's IterableDatasetShard",)
