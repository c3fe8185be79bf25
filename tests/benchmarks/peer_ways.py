"""What other tools make of the same text, in an interpreter that has them; `tests.benchmarks.peers` runs this file.

    PYTHON peer_ways.py tokenize WAY TEXT TOKENIZER OUT     CPU seconds and bytes written
    PYTHON peer_ways.py load WAY TEXT TOKENIZER OUT         a round of batches for each line of standard input
    PYTHON peer_ways.py load-at-once …                      the same, see `masked`

A text has a document a line. CPU seconds are user and system time of the process, without its imports, and of the
processes that it started, with theirs.
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
from functools import partial
from itertools import chain, count, islice
from pathlib import Path

import numpy as np

LENGTH, SAMPLES = 512, 64
"""Positions of a sample, and samples of a batch."""
DOCUMENTS_AT_ONCE = 1000
WARM_UP, ROUND = 20, 60
"""Batches that are not measured, and batches of a round."""


def documents(text):
    return text.read_text(encoding="utf-8").splitlines()


def hugging_face(tokenizer):
    """The tokenizer as transformers has it."""
    from transformers import PreTrainedTokenizerFast

    roles = {f"{role.lower()}_token": f"[{role}]" for role in ("UNK", "SEP", "PAD", "CLS", "MASK")}
    return PreTrainedTokenizerFast(tokenizer_file=str(tokenizer), model_max_length=10**9, **roles)


def ids_of(text, tokenizer, at_once=DOCUMENTS_AT_ONCE):
    """The ids of each document, by the fast tokenizer alone, many documents at once or one after the other."""
    from tokenizers import Tokenizer

    read = Tokenizer.from_file(str(tokenizer))
    all_ = documents(text)
    if at_once == 1:
        yield from (read.encode(each).ids for each in all_)
        return
    for start in range(0, len(all_), at_once):
        yield from (each.ids for each in read.encode_batch_fast(all_[start : start + at_once]))


def samples_of(documents_ids):
    """All ids one after the other, cut at the length; the rest is dropped."""
    left = []
    for ids in documents_ids:
        left.extend(ids)
        while len(left) >= LENGTH:
            yield np.array(left[:LENGTH], np.uint16)
            left = left[LENGTH:]


def masked(tokenizer, *, at_once):
    """Makes a masked batch of rows that have `input_ids`.

    Args:
        tokenizer: The file.
        at_once: Whether the special tokens of a batch are found at once, by lines of our own, and not row by row, as
            transformers does where the rows do not say which they are.
    """
    import torch
    from transformers import DataCollatorForLanguageModeling

    used = hugging_face(tokenizer)
    collate = DataCollatorForLanguageModeling(used, mlm_probability=0.15)
    special = np.array(used.all_special_ids)

    def of_rows(rows):
        if not at_once:
            batch = collate(rows)
            return batch["input_ids"], batch["labels"]
        ids = torch.from_numpy(np.stack([np.asarray(row["input_ids"]) for row in rows]).astype(np.int64))
        return collate.torch_mask_tokens(ids, special_tokens_mask=torch.from_numpy(np.isin(ids.numpy(), special)))

    return of_rows


def endless(loader):
    return chain.from_iterable(loader for _ in count())


class Raw:
    """The tokenizer alone; nothing is written."""

    @staticmethod
    def tokenize(text, tokenizer, out):
        out.mkdir()
        for _ in ids_of(text, tokenizer):
            pass


class Ours:
    """A token store with its counts, packed at the length; batches in the order of a plan, with their counts."""

    @staticmethod
    def imports():
        import dist_epochs.corpus.tokenizing.tokenize  # noqa: F401

    @staticmethod
    def tokenize(text, tokenizer, out):
        from dist_epochs.corpus.input.sources import find_sources
        from dist_epochs.corpus.tokenizing.tokenize import Settings, tokenize
        from dist_epochs.corpus.tokenizing.tokenizer import TextTokenizer

        tokenize(
            find_sources((str(text),)), TextTokenizer(str(tokenizer)), Settings(sequence_lengths=(LENGTH,)), out=out
        )

    @staticmethod
    def batches(out, collate):
        from fractions import Fraction

        from dist_epochs.arithmetic.batch import GlobalBatch
        from dist_epochs.arithmetic.mixture import Mixture
        from dist_epochs.arithmetic.schedule import Phase, Schedule
        from dist_epochs.corpus.stores.store import Store
        from dist_epochs.corpus.streaming.planning import objective_of
        from dist_epochs.corpus.streaming.stream import Corpus
        from dist_epochs.recipe import ModelRecipe

        store = Store(out)
        (source,) = store.sources()
        corpus = Corpus(
            store,
            schedule=Schedule((Phase(steps=10**6, sequence_length=LENGTH, global_batch=SAMPLES),)),
            mixture=Mixture.of({source.name: Fraction(1)}),
            objective=objective_of(ModelRecipe(objective="masked", config="unused"), store),
            seed=0,
        )
        batch = GlobalBatch(samples=SAMPLES, data_parallel_size=1, per_device=SAMPLES)
        for window in corpus.windows([batch], 0):
            yield window.micro_batches[0].input_ids, window.micro_batches[0].labels


class Datasets:
    """`datasets.map` twice, as `run_mlm.py` and `run_clm.py` group texts; a map-style dataset, shuffled."""

    @staticmethod
    def imports():
        import datasets
        import transformers  # noqa: F401

        datasets.disable_progress_bars()

    @staticmethod
    def tokenize(text, tokenizer, out):
        import datasets

        used = hugging_face(tokenizer)

        def grouped(rows):
            flat = {name: list(chain.from_iterable(values)) for name, values in rows.items()}
            stop = len(flat["input_ids"]) // LENGTH * LENGTH
            return {name: [ids[at : at + LENGTH] for at in range(0, stop, LENGTH)] for name, ids in flat.items()}

        cache = out.with_name(out.name + "-cache")
        read = datasets.load_dataset("text", data_files=str(text), split="train", cache_dir=str(cache))
        encoded = read.map(
            lambda rows: used(rows["text"], return_special_tokens_mask=True, return_token_type_ids=False),
            batched=True,
            remove_columns=["text"],
        )
        encoded.map(grouped, batched=True).save_to_disk(str(out))
        shutil.rmtree(cache)

    @staticmethod
    def batches(out, collate):
        import datasets
        from torch.utils.data import DataLoader

        read = datasets.load_from_disk(str(out)).with_format("numpy")
        return endless(DataLoader(read, SAMPLES, shuffle=True, drop_last=True, collate_fn=collate))


class DatasetsIterable(Datasets):
    """The same, read as an iterable dataset with a shuffle buffer."""

    @staticmethod
    def batches(out, collate):
        import datasets
        from torch.utils.data import DataLoader

        read = datasets.load_from_disk(str(out)).to_iterable_dataset(num_shards=8).with_format("numpy").shuffle(seed=0)
        return endless(DataLoader(read, SAMPLES, drop_last=True, collate_fn=collate))


class NanoGPT:
    """`datasets.map` document by document into one flat file, as nanoGPT prepares its data; crops at random places."""

    imports = Datasets.imports

    @staticmethod
    def tokenize(text, tokenizer, out):
        import datasets
        from tokenizers import Tokenizer

        used = Tokenizer.from_file(str(tokenizer))

        def encoded(row):
            ids = used.encode(row["text"]).ids
            return {"ids": ids, "len": len(ids)}

        out.mkdir()
        cache = out / "cache"
        read = datasets.load_dataset("text", data_files=str(text), split="train", cache_dir=str(cache))
        rows = read.map(encoded, remove_columns=["text"])
        flat = np.memmap(out / "train.bin", np.uint16, "w+", shape=(int(np.sum(rows["len"], dtype=np.int64)),))
        at, parts = 0, 64
        for part in range(parts):
            ids = np.concatenate(rows.shard(parts, part, contiguous=True).with_format("numpy")["ids"])
            flat[at : at + len(ids)] = ids
            at += len(ids)
        flat.flush()
        shutil.rmtree(cache)

    @staticmethod
    def batches(out, collate):
        draw = np.random.default_rng(0)
        while True:
            flat = np.memmap(out / "train.bin", np.uint16, "r")
            starts = draw.integers(0, len(flat) - LENGTH, SAMPLES)
            yield collate([{"input_ids": flat[at : at + LENGTH].astype(np.int64)} for at in starts])


class Mosaic:
    """MDS shards of samples, written by `MDSWriter` and read by `StreamingDataset`, shuffled."""

    documents_at_once = 1

    @staticmethod
    def imports():
        import streaming
        import transformers  # noqa: F401

        streaming.base.util.clean_stale_shared_memory()

    @classmethod
    def tokenize(cls, text, tokenizer, out):
        from streaming import MDSWriter

        with MDSWriter(out=str(out), columns={"input_ids": f"ndarray:uint16:{LENGTH}"}) as writer:
            for sample in samples_of(ids_of(text, tokenizer, cls.documents_at_once)):
                writer.write({"input_ids": sample})

    @staticmethod
    def batches(out, collate):
        from streaming import StreamingDataset
        from torch.utils.data import DataLoader

        read = StreamingDataset(local=str(out), shuffle=True, batch_size=SAMPLES)
        return endless(DataLoader(read, SAMPLES, drop_last=True, collate_fn=collate))


class MosaicAtOnce(Mosaic):
    """The same, encoded many documents at once."""

    documents_at_once = DOCUMENTS_AT_ONCE


def tensors_of_documents(text, tokenizer, at_once):
    """The ids of each document of a file, for litdata's worker."""
    import torch

    for ids in ids_of(Path(text), Path(tokenizer), at_once):
        yield torch.tensor(ids, dtype=torch.int32)


class LitData:
    """Chunks of tokens by `litdata.optimize`, read by `StreamingDataset` with a `TokensLoader`, shuffled."""

    documents_at_once = 1

    @staticmethod
    def imports():
        import transformers  # noqa: F401

    @classmethod
    def tokenize(cls, text, tokenizer, out):
        from litdata import TokensLoader, optimize

        optimize(
            fn=partial(tensors_of_documents, tokenizer=str(tokenizer), at_once=cls.documents_at_once),
            inputs=[str(text)],
            output_dir=str(out),
            chunk_size=LENGTH * 2**13,
            item_loader=TokensLoader(),
            num_workers=1,
            start_method="fork",
        )

    @staticmethod
    def batches(out, collate):
        from litdata import StreamingDataLoader, StreamingDataset, TokensLoader

        def of_tensors(rows):
            return collate([{"input_ids": row} for row in rows])

        read = StreamingDataset(str(out), item_loader=TokensLoader(block_size=LENGTH), shuffle=True, drop_last=True)
        return endless(StreamingDataLoader(read, batch_size=SAMPLES, drop_last=True, collate_fn=of_tensors))


class LitDataAtOnce(LitData):
    """The same, encoded many documents at once."""

    documents_at_once = DOCUMENTS_AT_ONCE


class DataTrove:
    """datatrove's `DocumentTokenizer` on its local executor, shuffled as by default."""

    @staticmethod
    def imports():
        import datatrove.executor
        import datatrove.pipeline.tokens  # noqa: F401

    @staticmethod
    def tokenize(text, tokenizer, out):
        from datatrove.data import Document
        from datatrove.executor import LocalPipelineExecutor
        from datatrove.pipeline.tokens import DocumentTokenizer

        def read(data, rank=0, world_size=1):
            for number, line in enumerate(documents(text)):
                yield Document(text=line, id=str(number))

        step = DocumentTokenizer(
            output_folder=str(out),
            tokenizer_name_or_path=str(tokenizer),
            batch_size=DOCUMENTS_AT_ONCE,
            local_working_dir=str(out) + "-work",
        )
        LocalPipelineExecutor(pipeline=[read, step], tasks=1, workers=1, logging_dir=str(out) + "-logs").run()
        for name in ("-work", "-logs"):
            shutil.rmtree(str(out) + name, ignore_errors=True)


WAYS = {
    "raw": Raw,
    "dist_epochs": Ours,
    "datasets": Datasets,
    "datasets, iterable": DatasetsIterable,
    "nanogpt": NanoGPT,
    "mosaicml-streaming": Mosaic,
    "mosaicml-streaming, encoded at once": MosaicAtOnce,
    "litdata": LitData,
    "litdata, encoded at once": LitDataAtOnce,
    "datatrove": DataTrove,
}


def seconds():
    """CPU seconds of this process and of those that it waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def main():
    action, name, *paths = sys.argv[1:]
    way = WAYS[name]
    text, tokenizer, out = map(Path, paths)
    answers, sys.stdout = sys.stdout, sys.stderr  # the tools print, too
    getattr(way, "imports", lambda: None)()

    def answer(**values):
        print(json.dumps(values), file=answers, flush=True)

    if action == "tokenize":
        began = seconds()
        way.tokenize(text, tokenizer, out)
        took = seconds() - began
        answer(seconds=took, bytes=sum(path.stat().st_size for path in out.rglob("*") if path.is_file()))
        return
    collate = None if way is Ours else masked(tokenizer, at_once=action == "load-at-once")
    batches = iter(way.batches(out, collate))
    for ids, labels in islice(batches, WARM_UP):
        assert tuple(ids.shape) == (SAMPLES, LENGTH)
        assert str(ids.dtype).endswith("int64")
        assert 0.1 < float((labels != -100).sum()) / (SAMPLES * LENGTH) < 0.2
    answer(ready=True)
    for _ in sys.stdin:
        began = seconds()
        for _ in islice(batches, ROUND):
            pass
        answer(seconds=seconds() - began, positions=ROUND * SAMPLES * LENGTH)


if __name__ == "__main__":
    main()
