"""The packing strategies against plain reimplementations, against the tools that they reproduce, and on stores."""

import hashlib
import json
import shutil
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from dist_epochs.arithmetic.batch import GlobalBatch
from dist_epochs.arithmetic.counts import Counts, Draw, PassKey
from dist_epochs.arithmetic.mixture import Mixture
from dist_epochs.arithmetic.packings import PACKING_RULES, PACKINGS
from dist_epochs.arithmetic.schedule import Phase, Schedule
from dist_epochs.cli.main import main
from dist_epochs.corpus.input.sources import find_sources
from dist_epochs.corpus.packing import pack_source, strategies
from dist_epochs.corpus.packing.strategies import STRATEGIES, count_packing
from dist_epochs.corpus.stores.blocks import BLOCK_TOKENS
from dist_epochs.corpus.stores.store import SourceStore, Store
from dist_epochs.corpus.stores.verify import verify_store
from dist_epochs.corpus.streaming.objective import Causal
from dist_epochs.corpus.streaming.planning import exact_plan, objective_of
from dist_epochs.corpus.streaming.stream import Corpus
from dist_epochs.corpus.tokenizing import tokenize_part as tokenizing
from dist_epochs.corpus.tokenizing import writer
from dist_epochs.corpus.tokenizing.build import pack
from dist_epochs.corpus.tokenizing.tokenize import Settings, tokenize
from dist_epochs.corpus.tokenizing.tokenizer import EMBEDDED, TextTokenizer
from dist_epochs.errors import InputError
from dist_epochs.ledger.reconcile import read_run
from dist_epochs.recipe import read_recipe
from dist_epochs.render.ledger import ledger_text
from tests.audit.compare.planted import run_of
from tests.conftest import small_blocks, write_corpus

LENGTHS = st.lists(st.integers(1, 70), min_size=1, max_size=60)
BATCH, BLOCK = 7, 100


def packed(packing, parts, length):
    """The samples of documents whose tokens are numbered, as lists of numbers."""
    strategy, samples = STRATEGIES[packing], []
    for span in strategy.spans(parts, length, BLOCK):
        found = strategy.pack(span.lengths, length)
        numbers = [
            list(range(span.first_token + start, span.first_token + start + size))
            for start, size in zip(found.starts.tolist(), found.lengths.tolist(), strict=True)
        ]
        cuts = found.first_piece.tolist()
        samples += [joined(numbers[a:b]) for a, b in pairwise(cuts)]
    return samples


def chunks(numbers, length):
    return [numbers[at : at + length] for at in range(0, len(numbers), length)]


def trl_bins(documents, length):
    """Best-fit-decreasing as TRL's: of equally full samples the one that has been so for longest."""
    bins = []  # [when it came to its size, order, content]
    for clock, piece in enumerate(sorted(documents, key=len, reverse=True)):
        fitting = [each for each in bins if len(each[1]) + len(piece) <= length]
        if fitting:
            chosen = min(fitting, key=lambda each: (-len(each[1]), each[0]))
        else:
            chosen = [clock, []]
            bins.append(chosen)
        chosen[0] = clock
        chosen[1] = chosen[1] + piece
    return [content for _, content in bins]


def joined(lists):
    return [each for part in lists for each in part]


ORACLES = {
    "concatenate": lambda batches, length: chunks(joined(joined(batches)), length),
    "truncate": lambda batches, length: [document[:length] for batch in batches for document in batch],
    "group_texts": lambda batches, length: [
        chunk for batch in batches for chunk in chunks(joined(batch), length) if len(chunk) == length
    ],
    "wrapped": lambda batches, length: [chunk for batch in batches for chunk in chunks(joined(batch), length)],
    "bfd": lambda batches, length: joined(
        trl_bins([document[:length] for document in batch], length) for batch in batches
    ),
    "bfd_split": lambda batches, length: joined(
        trl_bins(joined(chunks(document, length) for document in batch), length) for batch in batches
    ),
}


@pytest.mark.parametrize("packing", ORACLES)
@settings(max_examples=50)
@given(LENGTHS, st.integers(2, 32), st.lists(st.integers(0, 60)))
def test_samples_and_counts_are_those_of_a_plain_program(packing, lengths, length, cuts):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strategies, "BATCH_DOCUMENTS", BATCH)
        check_against_a_plain_program(packing, lengths, length, cuts)


def check_against_a_plain_program(packing, lengths, length, cuts):
    ends = np.cumsum(lengths).tolist()
    documents = [list(range(end - size, end)) for size, end in zip(lengths, ends, strict=True)]
    expected = ORACLES[packing]([documents[at : at + BATCH] for at in range(0, len(documents), BATCH)], length)
    parts = np.split(np.array(lengths), sorted({min(cut, len(lengths)) for cut in cuts}))
    assert packed(packing, parts, length) == expected
    counts = count_packing(packing, parts, length, BLOCK)
    kept = {number for sample in expected for number in sample}
    whole = [any(set(document) <= set(sample) for sample in expected) for document in documents]
    partly = [bool(kept & set(document)) for document in documents]
    assert (counts.samples, counts.tokens, counts.documents) == (len(expected), len(kept), sum(partly))
    assert counts.documents_cut == sum(part and not all_ for part, all_ in zip(partly, whole, strict=True))
    lost = (counts.tokens_truncated, counts.tokens_dropped)
    assert sum(lost) == sum(lengths) - len(kept)
    assert not lost[0] or packing in ("truncate", "bfd")
    assert not lost[1] or packing == "group_texts"


GOLDEN = {
    ("bfd", 64): (1909, "5f6980f1"),
    ("bfd", 512): (974, "a2cb3cfb"),
    ("bfd_split", 64): (9332, "329f08ed"),
    ("bfd_split", 512): (1168, "ff227cc9"),
    ("wrapped", 64): (9332, "b80ea441"),
    ("wrapped", 512): (1168, "ecdb72d4"),
    ("group_texts", 64): (9329, "cf4aaf9b"),
    ("group_texts", 512): (1165, "fe2fe403"),
}
"""Samples, and the beginning of the SHA-256 of their tokens, that `trl.pack_dataset` (1.16.0) and `group_texts` by
`datasets.map` (5.2.0) make of `golden_lengths`."""


def golden_lengths():
    """2,503 documents of 1 to 1,316 tokens."""
    number = np.arange(2503, dtype=np.int64)
    return 1 + (number * 7919 % 1009) ** 2 * (number % 13 + 1) // 10_000


def digest(samples):
    return len(samples), hashlib.sha256(json.dumps(samples).encode()).hexdigest()[:8]


@pytest.mark.parametrize(("packing", "length"), GOLDEN)
def test_samples_are_those_of_the_tools(packing, length):
    assert digest(packed(packing, [golden_lengths()], length)) == GOLDEN[packing, length]


def rows():
    from datasets import Dataset

    ends = np.cumsum(golden_lengths())
    return Dataset.from_dict({"input_ids": [list(range(a, b)) for a, b in zip(np.append(0, ends), ends, strict=False)]})


@pytest.mark.trl
@pytest.mark.parametrize(("packing", "length"), GOLDEN)
def test_golden_samples_are_made_by_the_tools_themselves(packing, length):
    trl = pytest.importorskip("trl")
    if packing == "group_texts":

        def group_texts(examples):
            row = joined(examples["input_ids"])
            return {"input_ids": chunks(row[: len(row) // length * length], length)}

        theirs = rows().map(group_texts, batched=True)
    else:
        theirs = trl.pack_dataset(rows(), length, packing)
    assert digest([list(row) for row in theirs["input_ids"]]) == GOLDEN[packing, length]


def test_the_table_of_the_guide():
    guide = Path(__file__).parents[3] / "docs/guides/packing.md"
    lengths = np.random.default_rng(0).lognormal(5.2, 1.3, 20_000).astype(np.int64) + 1
    for packing in PACKINGS:
        counts = count_packing(packing, [lengths], 512, BLOCK_TOKENS)
        padding = 1 - counts.tokens / (counts.samples * 512)
        numbers = (counts.documents_cut, counts.tokens_truncated, counts.tokens_dropped)
        row = f"| `{packing}` | {counts.samples:,} | {padding:.2%} | {' | '.join(f'{each:,}' for each in numbers)} |"
        assert row.replace("%", " %") in guide.read_text()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A store of three shards, packed by every strategy at 16 and 32, a tenth of it held out."""
    folder = tmp_path_factory.mktemp("strategies")
    text = write_corpus(folder / "web.txt", 1300, seed=6)
    settings = Settings(sequence_lengths=(16, 32), held_out=Fraction(1, 10))
    with small_blocks(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizing, "SHARD_TOKENS", 5000)
        patch.setattr(tokenizing, "BATCH_DOCUMENTS", 250)
        tokenize(find_sources((str(text),)), TextTokenizer(EMBEDDED), settings, out=folder / "store")
    for packing in PACKINGS:
        pack(Store(folder / "store"), (16, 32), packing)
    return folder / "store"


def corpus_of(store, packing, schedule):
    mixture = Mixture.of({"web": Fraction(1)})
    return Corpus(store, schedule=schedule, mixture=mixture, objective=Causal(), seed=1, packing=packing)


@pytest.mark.parametrize("packing", PACKINGS)
def test_the_plan_is_what_is_drawn(path, packing, write_recipe):
    store = Store(path)
    assert len(store.sources()[0].entry["shards"]) > 2
    phases = [
        {"steps": 5, "sequence_length": 16, "global_batch": 60},
        {"epochs": 2, "sequence_length": 32, "global_batch": 100},
    ]
    kind = "causal" if packing in ("wrapped", "truncate") else "masked"
    stated = [f"corpus.packing={packing}", "batch.uneven=allow", f"model.objective={kind}"]
    recipe = read_recipe(write_recipe(path, phases=phases), stated)
    corpus, plan = exact_plan(recipe, store, objective_of(recipe.model, store), None)
    batches = [
        GlobalBatch(samples=p.global_batch, data_parallel_size=2, per_device=50, uneven=True) for p in plan.phases
    ]
    drawn = {}
    for rank in range(2):
        for window in corpus.windows(batches, rank):
            for key, counts in window.counts.items():
                drawn[key] = drawn.get(key, Counts()) + counts
    assert drawn == plan.passes
    facts = plan.facts.packed(32)
    whole = plan.passes[PassKey(1, "web", 32, 0)]
    assert whole.samples == facts.samples
    assert whole.tokens + facts.tokens_truncated + facts.tokens_dropped == plan.facts.tokens
    assert PACKING_RULES[packing] == plan.facts.packing


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_pass_has_the_samples_of_the_strategy_and_its_documents(path, packing):
    """Every sample by its content, and documents seen by looking for each of them."""
    store = Store(path)
    source = store.sources()[0]
    size = source.packed_lengths(packing)[16]
    phase = Phase(steps=1, sequence_length=16, global_batch=size)
    corpus = corpus_of(store, packing, Schedule((phase,)))
    window = corpus.window(0, GlobalBatch(samples=size, data_parallel_size=1, per_device=size), 0)
    batch = window.micro_batches[0]
    drawn = sorted(tuple(row[line > 0]) for row, line in zip(batch.input_ids, batch.segments, strict=True))
    flat = source.token_range(0, source.entry["tokens"])
    strategy, lengths = STRATEGIES[packing], source.lengths
    shards = [source.shard_lengths(number) for number in range(len(source.entry["shards"]))]
    numbers = []
    for span in strategy.spans(shards, 16, 6000):
        found = strategy.pack(span.lengths, 16)
        tokens = [span.first_token + a + np.arange(n) for a, n in zip(found.starts, found.lengths, strict=True)]
        cuts = found.first_piece.tolist()
        numbers += [np.concatenate(tokens[a:b]) for a, b in pairwise(cuts)]
    assert drawn == sorted(tuple(flat[sample]) for sample in numbers)
    document = np.repeat(np.arange(len(lengths)), lengths)
    packing_ = source.packing(16, packing)
    firsts = np.cumsum(packing_.block_samples, dtype=np.int64) - packing_.block_samples
    counter = corpus.counter()
    order = corpus._orders["web", 16]
    for start, stop in ((0, size), (3, size // 2), (size // 3, size - 1)):
        blocks, rows = order.locate(0, np.arange(start, stop))
        seen = np.unique(np.concatenate([document[numbers[number]] for number in firsts[blocks] + rows]))
        assert counter.documents_seen("web", [Draw(PassKey(0, "web", 16, 0), start, stop)]) == len(seen)
    assert packing_.documents == len(np.unique(document[np.concatenate(numbers)]))


def test_documents_longer_than_a_block_are_seen_once(tmp_path):
    """Concatenated, a document may lie in many blocks."""
    words = "step batch epoch".split()
    text = [" ".join(words[n % 3] for n in range(size)) for size in (900, 3, 500, 40, 2000)]
    (tmp_path / "web.txt").write_text("\n".join(text))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer.cutting, "BLOCK_TOKENS", 100)
        settings = Settings(sequence_lengths=(16,), packing="concatenate")
        tokenize(find_sources((str(tmp_path / "web.txt"),)), TextTokenizer(EMBEDDED), settings, out=tmp_path / "store")
    source = Store(tmp_path / "store").sources()[0]
    packing = source.packing(16, "concatenate")
    assert (packing.documents, source.packing_counts(16, "concatenate")["documents_cut"]) == (5, 4)
    size = packing.samples
    counter = corpus_of(
        Store(tmp_path / "store"), "concatenate", Schedule((Phase(steps=1, sequence_length=16, global_batch=4),))
    ).counter()
    key = PassKey(0, "web", 16, 0)
    assert counter.documents_seen("web", [Draw(key, 0, size)]) == 5
    assert counter.documents_seen("web", [Draw(key, 1, size - 1)]) == 5
    assert counter.documents_seen("web", [Draw(key, 0, 1)]) == 1


@pytest.mark.parametrize("packing", PACKINGS)
def test_pieces_are_as_large_as_the_largest_span_asks(path, packing, tmp_path, monkeypatch):
    source = Store(path).sources()[0]
    shards = [source.shard_lengths(number) for number in range(len(source.entry["shards"]))]
    largest = max(span.tokens for span in STRATEGIES[packing].spans(shards, 16, 6000))
    samples = whole_pass(path, packing)
    for numbers, piece_bytes in ((largest << 4, 4), ((largest << 4) - 1, 8)):
        copied = shutil.copytree(path, tmp_path / f"{numbers}")
        shutil.rmtree(Store(copied).sources()[0].packing_folder(16, packing))
        monkeypatch.setattr(pack_source, "NUMBERS_OF_4_BYTES", numbers)
        pack(Store(copied), (16,), packing)
        assert Store(copied).sources()[0].packing_counts(16, packing)["piece_bytes"] == piece_bytes
        verify_store(Store(copied))
        assert (whole_pass(copied, packing) == samples).all()


def test_spans_of_one_size_need_no_second_look_at_all_lengths(path, tmp_path, monkeypatch):
    copied, read, real = shutil.copytree(path, tmp_path / "store"), [], SourceStore.shard_lengths
    source = Store(copied).sources()[0]
    shutil.rmtree(source.packing_folder(16, "concatenate"))
    monkeypatch.setattr(SourceStore, "shard_lengths", lambda self, number: read.append(number) or real(self, number))
    pack_source.pack_source(source, 16, [], "concatenate")
    assert read == [0, 1, *range(len(source.entry["shards"]))]  # the first span ends in the second shard


def whole_pass(path, packing):
    """Ids and segments of all samples of length 16."""
    packing_ = Store(path).sources()[0].packing(16, packing)
    blocks = np.repeat(np.arange(len(packing_.block_samples)), packing_.block_samples)
    rows = np.concatenate([np.arange(size) for size in packing_.block_samples.tolist()])
    return np.stack(packing_.read(blocks, rows, 0))


@pytest.mark.parametrize("packing", ["concatenate", "group_texts"])
def test_damage_is_found(path, packing, tmp_path):
    copied = shutil.copytree(path, tmp_path / "store")
    folder = copied / f"sources/web/packed-16-{packing}"
    for name in ("blocks", "sums", "samples", "pieces"):
        whole = (folder / name).read_bytes()
        for damaged in (whole[:-1], bytes([whole[0] ^ 1]) + whole[1:], whole[:-1] + bytes([whole[-1] ^ 1])):
            (folder / name).write_bytes(damaged)
            with pytest.raises(InputError) as error:
                verify_store(Store(copied))
            assert f"--packing {packing}" in error.value.fixes[0]
        (folder / name).write_bytes(whole)
    for name in ("tokens_dropped", "packing", "blocks", "documents"):
        counts = json.loads((folder / "packing.json").read_text())
        text = json.dumps(counts | {name: "bfd" if name == "packing" else counts[name] + 1})
        whole = (folder / "packing.json").read_text()
        (folder / "packing.json").write_text(text)
        with pytest.raises(InputError):
            verify_store(Store(copied))
        (folder / "packing.json").write_text(whole)
    verify_store(Store(copied))


def run(*arguments):
    return CliRunner().invoke(main, [str(each) for each in arguments], catch_exceptions=False)


def test_counting_alone_says_what_the_store_says(path, tmp_path):
    packed_store = Store(path)
    for packing in PACKINGS:
        counted = json.loads(run("tokenize", path, "--sequence-length", "32", "--packing", packing, "--json").stdout)
        assert counted["samples"]["32"] == packed_store.facts(packing).samples(32)["web"]
    rows = {(row["packing"], row["sequence_length"]): row for row in counted["packings"]}
    assert set(rows) == {(packing, length) for packing in PACKINGS for length in (16, 32)}
    assert all(row["padding"] == row["samples"] * row["sequence_length"] - row["tokens"] for row in rows.values())
    text = run("tokenize", path, "--sequence-length", "32").stdout
    assert "tokens truncated" in text
    assert "tokens dropped" in text


def test_a_recipe_asks_for_a_packing_that_is_there(path, tmp_path, write_recipe):
    recipe = write_recipe(path, phases=[{"steps": 3, "sequence_length": 24}])
    result = run("plan", recipe, "--set", "corpus.packing=bfd_split", "--json")
    warnings = {each["rule"]: each["message"] for each in json.loads(result.stdout)["warnings"]}
    assert "--sequence-length 24 --packing bfd_split" in warnings["not-packed"]
    asked = read_recipe(recipe, ["corpus.packing=bfd_split"])
    with pytest.raises(InputError) as error:
        exact_plan(asked, Store(path), Causal(), None)
    assert "--packing bfd_split" in error.value.fixes[0]
    with pytest.raises(InputError) as error:
        read_recipe(recipe, ["corpus.packing=bfd-splits"])
    assert "bfd_split" in str(error.value)


def test_nothing_to_pack_is_an_error(tmp_path):
    (tmp_path / "short.txt").write_text("a step\nan epoch\n")
    settings = Settings(sequence_lengths=(64,), packing="group_texts")
    with pytest.raises(InputError) as error:
        tokenize(find_sources((str(tmp_path / "short.txt"),)), TextTokenizer(EMBEDDED), settings, out=tmp_path / "out")
    assert "group_texts" in error.value.asked


TRL_FILES = {
    "": ("bfd", "corpus.packing: bfd makes"),
    "packing_strategy: bfd-requeue\n": ("bfd_split", "corpus.packing: bfd_split makes"),
    "packing_strategy: wrapped\ndataset_num_proc: 4\n": ("wrapped", "4 processes pack apart"),
    "packing_strategy: bfd_split\nshuffle_dataset: true\n": ("bfd_split", "shuffled before"),
    "packing_strategy: ffd\n": ("best-fit", "no strategy here packs as ffd"),
}


@pytest.mark.parametrize("strategy", TRL_FILES)
def test_a_file_of_trl_chooses_the_packing_of_a_store(path, tmp_path, strategy):
    packing, note = TRL_FILES[strategy]
    file = tmp_path / "sft.yaml"
    text = "dataset_name: us/chat\nmax_length: 16\nper_device_train_batch_size: 4\nnum_train_epochs: 2\n"
    file.write_text(f"{text}packing: true\nnum_processes: 2\n{strategy}")
    result = run("plan", "--from", file, "--corpus", path, "--json")
    planned = json.loads(result.stdout)
    assert planned["rules"]["packing"] == PACKING_RULES[packing]
    (row,) = planned["corpus"]["packings"]
    assert (row["packing"], row["samples"]) == (packing, Store(path).facts(packing).samples(16)["web"])
    assert planned["steps"] == -(-2 * row["samples"] // 8)
    assert note in " ".join(result.stderr.split())


def test_a_script_of_run_clm_chooses_group_texts(path, tmp_path):
    script = tmp_path / "train.sh"
    script.write_text(
        "torchrun --nproc_per_node 2 run_clm.py --block_size 16 --per_device_train_batch_size 4 --num_train_epochs 1 "
        "--output_dir out\n"
    )
    planned = json.loads(run("plan", "--from", script, "--corpus", path, "--json").stdout)
    assert planned["rules"]["packing"] == PACKING_RULES["group_texts"]
    assert planned["corpus"]["packings"][0]["samples"] == Store(path).facts("group_texts").samples(16)["web"]


def test_a_dataset_has_the_samples_of_a_strategy(path):
    from dist_epochs.corpus.streaming.dataset import TokenDataset

    dataset = TokenDataset(path, 16, packing="bfd")
    source = Store(path).sources()[0]
    assert len(dataset) == source.packed_lengths("bfd")[16]
    read = sum(int(dataset[number]["attention_mask"].sum()) for number in range(len(dataset)))
    assert read == source.packing_counts(16, "bfd")["tokens"]


@pytest.mark.parametrize("packing", ["group_texts", "truncate"])
def test_the_ledger_itemises_what_packing_left_out(path, packing, write_recipe, tmp_path):
    """A whole pass of the ledger, and what is in no sample, are the tokens of the corpus."""
    phases = [{"epochs": 1, "sequence_length": 16}]
    recipe = write_recipe(path, phases=phases, corpus={"store": str(path), "packing": packing})
    result = read_run(run_of(recipe, tmp_path / "run"))
    data = result.to_json()
    (row,) = data["packings"]
    assert result.agrees
    assert row["packing"] == packing
    of_a_pass = sum(counts.tokens for key, counts in result.totals.applied.passes.items() if key.number == 0)
    lost = row["tokens_truncated"] + row["tokens_dropped"]
    assert lost
    assert of_a_pass + lost == Store(path).facts().tokens
    assert packing == "group_texts" or data["coverage"] == 1
    assert f"{lost:,} tokens" in ledger_text(result, "run")


def test_a_first_recipe_takes_the_packing_that_is_there(path, tmp_path):
    copied = shutil.copytree(path, tmp_path / "store")
    for folder in copied.glob("sources/*/packed-*"):
        if not folder.name.endswith(("-wrapped", "32-bfd")):
            shutil.rmtree(folder)
    run("init", copied, "--out", tmp_path / "first.yaml")
    recipe = read_recipe(tmp_path / "first.yaml")
    assert recipe.corpus.packing == "bfd"
    assert recipe.longest == 32
