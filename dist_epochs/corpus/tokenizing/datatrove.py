"""The last steps of a datatrove pipeline: each task writes a shard of a token store, and one puts them together.

A step of datatrove is anything that is called with documents, the task and the number of tasks, so that this needs
datatrove only where it runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from dist_epochs.corpus.input.document import BadDocument, text_of
from dist_epochs.corpus.input.sources import Source, Unit
from dist_epochs.corpus.input.token_files import Ids
from dist_epochs.corpus.tokenizing.hub_tokenizer import tokenizer_of
from dist_epochs.corpus.tokenizing.merge import merge
from dist_epochs.corpus.tokenizing.parts import Share
from dist_epochs.corpus.tokenizing.tokenize import Settings, tokenize
from dist_epochs.errors import InputError, Origin

__all__ = ["MergeShards", "WriteShard"]

KIND = "datatrove"
TEXT = "text"


class PipelineDocument(Protocol):
    """A document of datatrove."""

    text: str
    id: str


@dataclass(frozen=True, slots=True)
class _Pipeline(Source):
    """A source that is read from a pipeline: once."""

    data: Iterable[PipelineDocument] = field(default=(), compare=False)

    def read(self, unit: Unit) -> Iterator[str | Ids | BadDocument]:
        """The texts of the documents; in place of one that is none, the error that says why."""
        for document in self.data:
            yield text_of({TEXT: document.text}, TEXT, Origin(f"{unit.name}: document {document.id}"))


@dataclass(frozen=True, kw_only=True, slots=True)
class WriteShard:
    """The step of a pipeline that writes the documents of each task as a shard of a store.

    A task that was killed goes on after its last complete shard file, for which the pipeline before it must give the
    same documents again; a task that is complete is only checked.

    Attributes:
        shards: Folder of the shards, which all machines see; each is in a folder called as its task.
        tokenizer: A `tokenizer.json`, its folder, or the name of a repository of the Hub.
        source: Name of the source in the store.
        settings: How documents become tokens, and the lengths to pack at.
    """

    shards: str | Path
    tokenizer: str
    source: str
    settings: Settings = field(default_factory=Settings)

    def __call__(self, data: Iterable[PipelineDocument] | None, rank: int = 0, world_size: int = 1) -> None:
        """Write the shard of a task.

        Args:
            data: Its documents.
            rank: Which task it is, from 0.
            world_size: How many there are.

        Raises:
            InputError: If a document cannot be read, or the shard cannot be written.
        """
        own = _Pipeline(self.source, _unit(rank, world_size), data=data or ())
        others = (Source(self.source, _unit(task, world_size)) for task in range(world_size))
        tokenize(
            [own if task == rank else other for task, other in enumerate(others)],
            tokenizer_of(self.tokenizer, lambda _: None),
            self.settings,
            out=Path(self.shards) / f"{rank:05d}",
            share=Share(rank + 1, world_size),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class MergeShards:
    """The step that puts the shards of all tasks together, for an executor of one task that depends on the others.

    Attributes:
        shards: Folder of the shards.
        out: Folder of the store to write.
        workers: Processes that pack.
    """

    shards: str | Path
    out: str | Path
    workers: int = 1

    def __call__(self, data: object = None, rank: int = 0, world_size: int = 1) -> None:
        """Write the store.

        Raises:
            InputError: If a shard is missing or damaged, there is more than one task, or the store cannot be written.
        """
        if world_size != 1:
            raise InputError(f"shards are put together by one task, and these are {world_size}", fixes="tasks=1")
        folders = [path for path in sorted(Path(self.shards).glob("*")) if path.name.isdecimal()]
        if not folders:
            raise InputError("no shards in this folder", origin=Origin(str(self.shards)))
        merge(folders, Path(self.out), workers=self.workers)


def _unit(task: int, tasks: int) -> tuple[Unit, ...]:
    return (Unit(f"task {task} of {tasks}", KIND),)
