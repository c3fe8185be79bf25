"""`--tokenizer gpt2`: a repository of the Hub, from a cache in its own layout; no network is used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main
from dist_epochs.corpus.tokenizing.hub_tokenizer import tokenizer_of
from dist_epochs.corpus.tokenizing.tokenizer import EMBEDDED, TextTokenizer
from dist_epochs.errors import InputError

huggingface_hub = pytest.importorskip("huggingface_hub")
constants = pytest.importorskip("huggingface_hub.constants")
errors = pytest.importorskip("huggingface_hub.errors")

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An offline machine whose cache has two repositories, in an empty folder."""
    for name in ("gpt2", "someone--tiny"):
        root = tmp_path / f"hub/models--{name}"
        (root / "snapshots" / COMMIT).mkdir(parents=True)
        (root / "refs").mkdir()
        (root / "refs/main").write_text(COMMIT)
        (root / "blobs").mkdir()
        (root / "blobs/a1").write_bytes(TextTokenizer(EMBEDDED).path.read_bytes())
        (root / f"snapshots/{COMMIT}/tokenizer.json").symlink_to(Path("../../blobs/a1"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("a.txt").write_text("the step of an epoch\n")
    return tmp_path


def run(tokenizer, out, code=0):
    result = CliRunner().invoke(main, ["tokenize", "a.txt", "--tokenizer", tokenizer, "--out", out])
    assert result.exit_code == code, result.output
    return result


@pytest.mark.parametrize("name", ["gpt2", "someone/tiny"])
def test_a_repository_is_recorded_with_its_revision(name):
    assert f"tokenizer: {name} of the Hub, revision {COMMIT}" in run(name, "store").stderr
    run(EMBEDDED, "local")
    of_hub, local = (json.loads(Path(store, "manifest.json").read_text()) for store in ("store", "local"))
    assert of_hub["tokenizer"] == local["tokenizer"] | {"repository": name, "revision": COMMIT}
    assert of_hub["fingerprint"] == local["fingerprint"]
    assert "written before" in run(name, "store").stdout


def test_only_tokenizer_json_counts_whatever_else_the_cache_has(here):
    beside = here / f"hub/models--gpt2/snapshots/{COMMIT}/tokenizer_config.json"
    run("gpt2", "without")
    beside.write_text('{"pad_token": "the"}')
    run("gpt2", "with")
    assert [path.name for path in Path("with/tokenizer").iterdir()] == ["tokenizer.json"]
    assert tokenizer_of("gpt2", print).roles == TextTokenizer("without/tokenizer").roles


def test_a_local_folder_wins_and_that_is_said():
    TextTokenizer(EMBEDDED).save(Path("gpt2"))
    assert "tokenizer: the local folder gpt2, not a repository of the Hub" in run("gpt2", "store").stderr
    assert "repository" not in json.loads(Path("store/manifest.json").read_text())["tokenizer"]
    assert "the Hub" not in run("./gpt2", "other").stderr


def test_what_is_not_in_the_cache_is_an_error_that_says_what_to_do():
    with pytest.raises(InputError) as caught:
        tokenizer_of("someone/other", print)
    assert "offline mode" in caught.value.rule
    assert caught.value.fixes[0].startswith("`hf download someone/other tokenizer.json --local-dir DIR`")
    assert "nor can it be had from the Hub" in run("someone/other", "store", code=2).stderr
    assert not Path("store").exists()


@pytest.mark.parametrize("name", ["nowhere.json", "./gpt2", "/gpt2", "a/b/c", "gpt2/", "..", "hub:gpt2"])
def test_what_is_no_name_of_a_repository_is_never_asked_for(monkeypatch, name):
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: pytest.fail("asked the Hub"))
    with pytest.raises(InputError, match="no such tokenizer file"):
        tokenizer_of(name, print)


@pytest.mark.parametrize(
    ("error", "rule"),
    [
        (errors.RepositoryNotFoundError, "no such repository"),
        (errors.GatedRepoError, "private or gated"),
        (errors.EntryNotFoundError, "has no tokenizer.json"),
        (TimeoutError, "it took too long"),
    ],
)
def test_what_the_hub_answers_is_told(monkeypatch, error, rule):
    made = error.__new__(error)
    Exception.__init__(made, "it took too long")

    def answer(*_, local_files_only=False):
        raise errors.LocalEntryNotFoundError("not here") if local_files_only else made

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", answer)
    with pytest.raises(InputError) as caught:
        tokenizer_of("someone/other", print)
    assert rule in caught.value.rule
