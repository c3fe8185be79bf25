"""How a user's loader shares its samples among the ranks, read from its attributes without importing its library."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass
from typing import Any

from dist_epochs.arithmetic.loader import Loader, Uneven

__all__ = ["LoaderFacts", "loader_facts"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LoaderFacts:
    """How a loader will draw.

    Attributes:
        samples: Samples of the whole dataset; None for streams and where it is not known.
        per_device: Samples of a micro-batch on one device.
        uneven: What happens to the last, incomplete round of a pass; None where it is not known.
        pads_to_ranks: Whether a pass is padded to a multiple of the ranks only, not to a full round.
        drops_short_batch: Whether each rank leaves out the last micro-batch of its share, if it is short.
        sampler: Class of the sampler.
        splitters: Every part of it that gives each rank its own share, outermost first.
        is_stream: Whether samples come without an index.
        is_plan: Whether it draws a whole plan once, of any number of epochs, from a `TokenDataset` or `TokenStream`.
        skips: Whether it leaves out the first batches of its pass.
        workers: Processes that make its batches, each with the end of a stream of its own; 1 where there are none.
    """

    samples: int | None = None
    per_device: int | None = None
    uneven: Uneven | None = None
    pads_to_ranks: bool = False
    drops_short_batch: bool = False
    sampler: str = ""
    splitters: tuple[str, ...] = ()
    is_stream: bool = False
    is_plan: bool = False
    skips: bool = False
    workers: int = 1

    @property
    def batches_before_split(self) -> int | None:
        """Batches of a pass as one process draws it alone, before the ranks share them; None if not known."""
        if self.samples is None or not self.per_device or self.is_plan:
            return None
        return self.samples // self.per_device if self.uneven == "drop" else -(-self.samples // self.per_device)

    def drawn_per_pass(self, samples: int, ranks: int) -> int | None:
        """What a pass draws over all ranks, duplicates included; None where the end of a pass is not known.

        Args:
            samples: Samples of the whole dataset.
            ranks: Ranks that see different data.
        """
        if self.per_device is None or self.uneven is None or self.is_plan:
            return None
        if self.pads_to_ranks:
            share = samples // ranks if self.uneven == "drop" else -(-samples // ranks)
            return (share // self.per_device * self.per_device if self.drops_short_batch else share) * ranks
        if samples < self.per_device * ranks and self.uneven == "drop":
            return 0
        loader = Loader(samples=samples, per_device=self.per_device, data_parallel_size=ranks, uneven=self.uneven)
        return loader.drawn_per_pass


def loader_facts(loader: object, ranks: int) -> LoaderFacts:
    """What can be read from a torch or Accelerate loader; of any other iterable little is known.

    Args:
        loader: The loader that a rank iterates over.
        ranks: Ranks that see different data.
    """
    at: Any = loader
    while type(at).__module__.partition(".")[0] == "tqdm":  # a progress bar around it
        at = at.iterable
    drops, even, splits = bool(getattr(at, "drop_last", False)), True, False
    splitters = []
    dispatches = type(at).__name__ == "DataLoaderDispatcher"
    if dispatches:
        splitters.append("Accelerate's dispatcher")
        drops, splits = bool(at._drop_last), bool(at.split_batches)
    shards, batches = _unwrap(
        getattr(at, "batch_sampler", None), ("BatchSamplerShard", "SkipBatchSampler"), "batch_sampler"
    )
    drops = drops or bool(getattr(batches, "drop_last", False))
    streams, dataset = _unwrap(getattr(at, "dataset", None), ("IterableDatasetShard",), "dataset")
    for shard in (*shards, *streams):
        if type(shard).__name__ != "SkipBatchSampler":
            splitters.append(f"Accelerate's {type(shard).__name__}")
            drops, splits = bool(shard.drop_last), bool(shard.split_batches)
            even = bool(getattr(shard, "even_batches", True))
    sampler = getattr(batches, "sampler", None)
    distributed = type(sampler).__name__ == "DistributedSampler" and getattr(sampler, "num_replicas", 1) > 1
    if distributed:
        splitters.append("torch's DistributedSampler")
        drops = bool(getattr(sampler, "drop_last", False))
    if getattr(getattr(dataset, "_distributed", None), "world_size", 1) > 1:
        splitters.append("split_dataset_by_node")
    size = (
        getattr(batches, "batch_size", None) or getattr(at, "batch_size", None) or getattr(dataset, "per_device", None)
    )
    is_stream = any(kind.__name__ == "IterableDataset" for kind in type(dataset).__mro__)
    known = getattr(dataset, "samples_per_pass", None)
    if known is None and not is_stream and isinstance(dataset, Sized):
        known = len(dataset)
    if size and splits and not streams:  # the batch size of a stream that is split is divided already
        size = max(size // ranks, 1)
    return LoaderFacts(
        samples=known,
        per_device=size,
        uneven="drop" if drops else ("pad" if even else "keep") if splitters or ranks == 1 else None,
        pads_to_ranks=distributed or (dispatches and not drops),
        drops_short_batch=distributed and bool(getattr(batches, "drop_last", False)),
        sampler=type(sampler).__name__,
        splitters=tuple(splitters),
        is_stream=is_stream,
        is_plan=getattr(dataset, "is_plan", False) is True,
        skips=any(getattr(part, "skip_batches", 0) for part in (at, *shards)),
        workers=getattr(at, "num_workers", None) or 1,
    )


def _unwrap(outer: Any, wrappers: tuple[str, ...], name: str) -> tuple[list[Any], Any]:
    """Wrappers of known classes, outermost first, and what is inside."""
    layers = []
    while type(outer).__name__ in wrappers:
        layers.append(outer)
        outer = getattr(outer, name)
    return layers, outer
