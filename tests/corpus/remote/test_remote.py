"""A store at an address gives the same batches as the folder, whatever the server does."""

from __future__ import annotations

import ast
import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from dist_epochs.arithmetic.batch import GlobalBatch
from dist_epochs.arithmetic.mixture import Mixture
from dist_epochs.arithmetic.schedule import Phase, Schedule
from dist_epochs.cli.main import main
from dist_epochs.corpus.input.sources import find_sources
from dist_epochs.corpus.remote import cache as caching
from dist_epochs.corpus.remote import fetching
from dist_epochs.corpus.remote.cache import Cache, Full
from dist_epochs.corpus.remote.store import open_remote
from dist_epochs.corpus.remote.transfer import Absent, Remote
from dist_epochs.corpus.stores.manifest import sealed
from dist_epochs.corpus.stores.store import Store
from dist_epochs.corpus.stores.verify import verify_store
from dist_epochs.corpus.streaming.dataset import TokenDataset
from dist_epochs.corpus.streaming.objective import Causal
from dist_epochs.corpus.streaming.planning import plan_on_store
from dist_epochs.corpus.streaming.stream import Corpus
from dist_epochs.corpus.streaming.token_stream import TokenStream
from dist_epochs.corpus.tokenizing.tokenize import Settings, tokenize
from dist_epochs.corpus.tokenizing.tokenizer import EMBEDDED, TextTokenizer
from dist_epochs.errors import InputError
from dist_epochs.recipe import read_recipe
from dist_epochs.recipe.corpus import CacheRecipe
from dist_epochs.settings.address import Address
from tests.conftest import small_blocks, write_corpus
from tests.corpus.remote import server as serving_module
from tests.corpus.remote.server import serving

NAMES = tuple("abc")
SCHEDULE = Schedule((Phase(steps=24, sequence_length=16, global_batch=12),))


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """Three sources of one shard each."""
    folder = tmp_path_factory.mktemp("remote")
    files = [write_corpus(folder / f"{name}.txt", 150, seed, longest=30) for seed, name in enumerate(NAMES)]
    with small_blocks():
        sources = find_sources(tuple(map(str, files)))
        tokenize(sources, TextTokenizer(EMBEDDED), Settings(sequence_lengths=(16,)), out=folder / "store")
    return Store(folder / "store")


@pytest.fixture
def server(local, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(fetching, "WAITS", (0.0, 0.01))
    monkeypatch.setattr(caching, "ROOM_SECONDS", 0.2)
    with serving(local.path) as server:
        yield server


@pytest.fixture
def opened(server, tmp_path):
    """Open the store at the address; keyword arguments are those of the cache."""

    def opened(limit="1GB", folder=tmp_path / "cache", address=None):
        return open_remote(Address(address or server.address), (16,), CacheRecipe(folder=str(folder), limit=limit))

    return opened


def batches(store):
    mixture = Mixture.of(dict.fromkeys(NAMES, Fraction(1)))
    corpus = Corpus(store, schedule=SCHEDULE, mixture=mixture, objective=Causal(), seed=1)
    batch = GlobalBatch(samples=12, data_parallel_size=1, per_device=12)
    return b"".join(
        np.stack([m.input_ids, m.labels, m.segments]).tobytes()
        for window in corpus.windows([batch], 0)
        for m in window.micro_batches
    )


def shard_name(store, name="a", what="tokens"):
    (source,) = (source for source in store.sources() if source.name == name)
    return source.shard(0, what).relative_to(store.path).as_posix()


def shards_in(folder):
    return [path for path in folder.glob("*/*/sources/*/*") if path.suffix in (".tokens", ".lengths")]


def parts_in(folder):
    return list(folder.rglob("*.part*"))


def test_batches_are_those_of_the_folder_and_are_fetched_once(local, server, opened, tmp_path):
    expected = batches(local)
    assert batches(opened()) == expected
    assert batches(pickle.loads(pickle.dumps(opened()))) == expected  # as in a worker process
    server.asked.pop("manifest.json")  # asked for at each opening
    assert set(server.asked.values()) == {1}
    assert not parts_in(tmp_path)
    assert json.loads((next(tmp_path.glob("cache/*/*/manifest.json"))).read_bytes()) == local.manifest


def test_a_token_stream_fetches_ahead(server, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    batches_of_it = iter(TokenStream(TokenDataset(server.address, 16), per_device=4))
    assert next(batches_of_it)["input_ids"].shape == (4, 16)  # of the first source
    until = time.monotonic() + 20
    while len([path for path in shards_in(tmp_path / "dist-epochs/stores") if path.suffix == ".tokens"]) < len(NAMES):
        assert time.monotonic() < until
        time.sleep(0.01)
    batches_of_it.close()
    assert len(list(iter(TokenStream(TokenDataset(server.address, 16), per_device=4)))) > len(NAMES)
    assert {count for name, count in server.asked.items() if name.endswith(".tokens")} == {1}


def test_damage_that_is_met_ahead_is_an_error_of_the_batch_alone(server, tmp_path, monkeypatch):
    """The thread that looks ahead finds it first, and prints nothing."""
    of_threads = []
    monkeypatch.setattr(threading, "excepthook", of_threads.append)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    TokenDataset(server.address, 16)
    (pieces,) = (tmp_path / "dist-epochs/stores").glob("*/*/sources/c/packed-16/pieces")
    pieces.write_bytes(b"\xff" * pieces.stat().st_size)
    batches = iter(TokenStream(TokenDataset(server.address, 16), per_device=2, rank=0, ranks=1))
    next(batches)
    wait_until(lambda: not [thread for thread in threading.enumerate() if thread.name == "shards"])
    with pytest.raises(InputError, match="outside its block"):
        list(batches)
    assert not of_threads


def test_a_cache_that_is_removed_while_a_file_is_fetched(tmp_path):
    tries = []

    def fetch(file):
        file.write(b"shard")
        tries.append(file)
        if len(tries) == 1:
            shutil.rmtree(tmp_path / "cache")

    path = tmp_path / "cache/store/manifest/sources/a/00000.tokens"
    with Cache(tmp_path / "cache", 100).shard(path, 5, fetch) as file:
        assert file.read() == path.read_bytes() == b"shard"
    assert len(tries) == 2


def test_counts_of_a_packing_that_cannot_be_are_refused(local, server, opened, tmp_path):
    shutil.copytree(local.path, tmp_path / "store")
    server.folder = tmp_path / "store"
    path = server.folder / "sources/a/packed-16/packing.json"
    counts = json.loads(path.read_text())
    counts["sha256"] = {f"../{name}": digest for name, digest in counts["sha256"].items()}
    path.write_text(json.dumps(sealed({name: value for name, value in counts.items() if name != "digest"})))
    with pytest.raises(InputError, match=f"{server.address}/sources/a/packed-16/packing.json: sha256 is .* upload"):
        opened()


def test_all_is_there_without_a_network(local, server, opened):
    batches(opened())
    server.always = dict.fromkeys([path.relative_to(local.path).as_posix() for path in local.path.rglob("*")], 500)
    assert batches(opened()) == batches(local)


def test_another_store_at_the_address_is_seen(local, server, opened, tmp_path):
    before = opened()
    server.folder = tmp_path / "another"
    sources = find_sources((str(write_corpus(tmp_path / "b.txt", 50, 9)),))
    tokenize(sources, TextTokenizer(EMBEDDED), Settings(sequence_lengths=(16,)), out=server.folder)
    assert opened().manifest["fingerprint"] == Store(server.folder).manifest["fingerprint"]
    assert before.manifest["fingerprint"] == local.manifest["fingerprint"]


FAULTS = {
    "cut": (True, ["cut", "cut"]), "flipped": (True, ["flip"]), "short": (True, ["short"]), "long": (True, ["long"]),
    "busy": (True, [429, 503]), "all": (True, [500, "cut", "flip", "cut"]),
    "no-ranges": (False, ["cut", "flip", "cut"]),
}  # fmt: skip


@pytest.mark.parametrize(("ranges", "faults"), FAULTS.values(), ids=FAULTS)
def test_what_goes_wrong_once_is_put_right(local, server, opened, ranges, faults, tmp_path):
    server.ranges = ranges
    files = [path.relative_to(local.path).as_posix() for path in local.path.rglob("*") if path.is_file()]
    server.faults.update({name: list(faults) for name in files})
    for name in ("tokens", "lengths"):
        path = shard_name(local, what=name)
        store = opened()
        with store.remote.open("a", 0, name) as file:
            assert file.read() == (local.path / path).read_bytes()
    for path in (tmp_path / "cache").rglob("*"):
        if path.is_file() and path.name not in ("lock", "manifest.json"):
            name = path.relative_to(store.path).as_posix()
            assert path.read_bytes() == (local.path / name).read_bytes()


def test_a_connection_goes_on_where_it_broke(local, server, opened):
    name, store = shard_name(local), opened()
    server.faults[name] = ["cut", "cut"]
    store.remote.open("a", 0, "tokens").close()
    whole = (local.path / name).read_bytes()
    assert server.sent[name] == len(whole)
    path = store.path / name
    path.unlink()
    path.with_name(f"{path.name}.part-{len(whole)}").write_bytes(whole[:1000])  # what a program that was killed leaves
    store.remote.open("a", 0, "tokens").close()
    assert server.sent[name] == 2 * len(whole) - 1000
    assert path.read_bytes() == whole


@pytest.mark.parametrize("fault", ["flip", "short", "long"])
def test_damage_at_the_address_names_shard_and_address(local, server, opened, fault, tmp_path):
    name, store = shard_name(local), opened()
    server.always[name] = fault
    with pytest.raises(InputError) as caught:
        batches(store)
    assert str(caught.value.origin) == f"{server.address}/{name}"
    assert caught.value.fixes
    assert "must" in caught.value.asked
    assert not [path for path in shards_in(tmp_path / "cache") if path.name == Path(name).name and "/a/" in str(path)]


@pytest.mark.parametrize(
    ("fault", "asked"), [(500, "HTTP 500"), (404, "is missing"), (403, "may not read"), ("cut", "too early")]
)
def test_what_is_not_given_is_an_error_with_fixes(local, server, opened, fault, asked):
    name, store = shard_name(local), opened()
    server.ranges = False
    server.always[name] = fault
    with pytest.raises(InputError) as caught:
        batches(store)
    assert str(caught.value.origin) == f"{server.address}/{name}"
    assert asked in caught.value.asked
    assert caught.value.fixes


def test_nothing_is_at_the_address(server, opened):
    server.always["manifest.json"] = 404
    with pytest.raises(InputError) as caught:
        opened()
    assert str(caught.value.origin) == server.address
    with pytest.raises(InputError) as caught:
        opened(address="http://127.0.0.1:1/store")
    assert "cannot be fetched" in caught.value.asked


def test_no_more_is_kept_than_the_limit(local, server, opened, tmp_path):
    sizes = [sum(local.sources()[n].shard(0, what).stat().st_size for what in ("tokens", "lengths")) for n in range(3)]
    limit = 2 * max(sizes)
    store = opened(limit=f"{limit}B")
    for name in "abcabc":
        store.remote.open(name, 0, "tokens").close()
        assert sum(path.stat().st_size for path in shards_in(tmp_path / "cache")) <= limit
    kept = {path.parent.name for path in shards_in(tmp_path / "cache") if path.suffix == ".tokens"}
    assert "c" in kept
    assert len(kept) == 2


def test_what_is_read_is_not_removed(local, server, opened, tmp_path):
    sizes = [source.shard(0, "tokens").stat().st_size for source in local.sources()]
    store = opened(limit=f"{int(2.6 * max(sizes))}B")
    held = [store.remote.open(name, 0, "tokens") for name in "ab"]
    with pytest.raises(Full) as caught:
        store.remote.open("c", 0, "tokens")
    assert "corpus.cache.limit" in caught.value.fixes[0]
    held.pop(0).close()
    store.remote.open("c", 0, "tokens").close()
    kept = {path.parent.name for path in shards_in(tmp_path / "cache") if path.suffix == ".tokens"}
    assert kept == {"b", "c"}


def test_a_small_cache_gives_the_same_batches(local, server, opened, tmp_path):
    total = sum(source.shard(0, "tokens").stat().st_size for source in local.sources())
    assert batches(opened(limit=f"{int(1.2 * total)}B")) == batches(local)


def test_two_threads_ask_for_one_shard(local, server, opened):
    name, store = shard_name(local), opened()
    store.remote.open("a", 0, "lengths").close()
    server.faults[name] = ["late"]
    with ThreadPoolExecutor(2) as threads:
        both = [threads.submit(store.remote.open, "a", 0, "tokens") for _ in range(2)]
        wait_until(lambda: server.sent[name])
        server.proceed.set()
        held = [each.result(timeout=20) for each in both]  # the first holds it while the second takes it, too
    assert [file.read() for file in held] == [(local.path / name).read_bytes()] * 2
    assert server.asked[name] == 1


def test_two_processes_share_a_cache_and_one_is_killed(local, server, tmp_path):
    name, cache = shard_name(local, "c"), tmp_path / "cache"
    server.faults[name] = ["late"]
    command = [sys.executable, serving_module.__file__, server.address, str(cache), "1GB", "1"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def start():
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)

    killed = start()
    wait_until(lambda: server.sent[name])
    (part,) = cache.rglob("*.part*")
    waiting = start()
    wait_until(lambda: has_open(waiting.pid, part))
    killed.kill()
    killed.communicate()
    assert waiting.communicate(timeout=60)[0] == b"done\n"
    for path in shards_in(cache):
        copied = local.path / path.relative_to(next(cache.glob("*/*")))
        assert path.read_bytes() == copied.read_bytes()
    assert len(shards_in(cache)) == 6
    assert not parts_in(cache)
    assert server.asked[name] == 2


def wait_until(true):
    while not true():
        time.sleep(0.01)


def has_open(process, path):
    return any(os.path.realpath(link) == str(path.resolve()) for link in Path(f"/proc/{process}/fd").iterdir())


def test_the_plan_is_that_of_the_folder(local, server, write_recipe, tmp_path):
    phases = [{"steps": 20, "sequence_length": 16}]
    cache = {"folder": "cache", "limit": "1GB"}
    plans = []
    for place in (str(local.path), server.address):
        corpus = {"store": place, "weights": dict.fromkeys(NAMES, 1), "cache": cache}
        plans.append(plan_on_store(read_recipe(write_recipe(place, corpus=corpus, phases=phases))))
    assert plans[0].fingerprint == plans[1].fingerprint
    assert plans[0].coverage == plans[1].coverage
    assert not any(name.endswith(".tokens") for name in server.asked)
    assert (tmp_path / "cache").is_dir()


def test_tokenize_verifies_a_store_at_an_address(local, server, opened, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    command = ["tokenize", server.address, "--verify", "--sequence-length", "16", "--json"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["samples"] == {"16": sum(local.facts().samples(16).values())}
    cached = next(path for path in shards_in(tmp_path / "dist-epochs" / "stores") if path.suffix == ".tokens")
    whole = cached.read_bytes()
    cached.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    assert CliRunner().invoke(main, command).exit_code == 0
    assert cached.read_bytes() == whole
    result = CliRunner().invoke(main, ["tokenize", server.address, "--sequence-length", "64"])
    assert result.exit_code == 2
    assert "is not packed at length 64" in result.output


def test_secrets_of_an_address_are_sent_and_not_shown(local, server, write_recipe, tmp_path):
    from dist_epochs.plan.plan_json import plan_json
    from dist_epochs.recipe.writing import recipe_to_yaml

    address = server.address.replace("//", "//me:open%20sesame@") + "?key=xyzzy"
    recipe = read_recipe(
        write_recipe(address, corpus={"store": address, "weights": dict.fromkeys(NAMES, 1), "cache": {"folder": "c"}},
                     phases=[{"steps": 2, "sequence_length": 16}])
    )  # fmt: skip
    plan = plan_on_store(recipe)
    assert pickle.loads(pickle.dumps(recipe)).corpus.store.whole == address
    assert {headers.get("Authorization") for headers in server.headers} == {"Basic bWU6b3BlbiBzZXNhbWU="}
    assert all(headers["path"].endswith("?key=xyzzy") for headers in server.headers)
    server.always["sources/a/blocks"] = server.always["manifest.json"] = 403
    with pytest.raises(InputError) as caught:
        plan_on_store(recipe)
    shown = [recipe_to_yaml(recipe), json.dumps(plan_json(plan)), str(caught.value), repr(recipe)]
    shown += [str(path) for path in (tmp_path / "c").rglob("*")]
    assert not [text for text in shown if "sesame" in text or "xyzzy" in text or "me:o" in text]
    assert plan_json(plan)["corpus"]["store"] == server.address


def test_a_store_in_a_folder_by_fsspec(local, tmp_path):
    store = open_remote(Address(f"file://{local.path}"), (16,), CacheRecipe(folder=str(tmp_path)))
    assert batches(store) == batches(local)
    assert verify_store(store, again=True)
    assert not verify_store(store)
    with pytest.raises(Absent):
        Remote(Address(f"file://{local.path}")).read("nothing", 0, None)
    with pytest.raises(InputError) as caught:
        open_remote(Address("nonsense://store"), (16,), CacheRecipe(folder=str(tmp_path)))
    assert caught.value.origin


def test_networks_are_imported_where_an_address_is_read():
    package = Path(caching.__file__).parents[1]
    for path in package.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not {"fsspec", "urllib.request", "http.client"} & set(names), path
            if path.parent.name != "remote":
                assert not {f"dist_epochs.corpus.remote.{name}" for name in ("store", "transfer")} & set(names), path


def test_stores_that_need_another_machine_are_refused(local, tmp_path):
    shutil.copytree(Path(__file__).parents[1] / "stores" / "version-1", tmp_path / "old")
    old = next((tmp_path / "old").rglob("manifest.json")).parent
    with pytest.raises(InputError) as caught:
        open_remote(Address(f"file://{old}"), (16,), CacheRecipe(folder=str(tmp_path / "cache")))
    assert "format 1" in caught.value.asked
