"""Pyodide's archive: fetched once, checked, kept; a local one as it is."""

import base64
import hashlib
import io
import json
import tarfile
import urllib.error

import pytest

from dist_epochs.errors import InputError
from dist_epochs.page.npm import NpmArchive
from dist_epochs.page.pyodide import FILES, PYODIDE, read_pyodide


def archive_of(path, name="pyodide", without=()):
    """A tiny archive of npm with the files of Pyodide's."""
    package = json.dumps({"name": name, "version": "1.2.3"}).encode()
    with tarfile.open(path, "w:gz") as archive:
        for file, content in [("package.json", package), *((each, each.encode()) for each in FILES)]:
            if file not in without:
                info = tarfile.TarInfo(f"package/{file}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path


def pinned(content):
    return NpmArchive("pyodide", "1.2.3", f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}")


@pytest.fixture
def registry(monkeypatch):
    """What the registry answers, and the addresses that it was asked for."""

    class Registry:
        content, asked = b"the archive", []

        def urlopen(self, address, timeout):
            self.asked.append(address)
            if self.content is None:
                raise urllib.error.URLError("no network")
            return io.BytesIO(self.content)

    found = Registry()
    found.asked = []
    monkeypatch.setattr("urllib.request.urlopen", found.urlopen)
    return found


def test_it_is_fetched_once_and_kept(registry, tmp_path):
    archive = pinned(b"the archive")
    for _ in range(2):
        assert archive.fetch(tmp_path / "cache").read_bytes() == b"the archive"
    assert registry.asked == ["https://registry.npmjs.org/pyodide/-/pyodide-1.2.3.tgz"]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["pyodide-1.2.3.tgz"]


def test_another_digest_is_refused_and_not_kept(registry, tmp_path):
    registry.content = b"something else"
    with pytest.raises(InputError) as caught:
        pinned(b"the archive").fetch(tmp_path)
    assert "pyodide-1.2.3.tgz" in caught.value.asked
    assert pinned(b"the archive").integrity in caught.value.rule
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_in_the_cache_is_fetched_again(registry, tmp_path):
    (tmp_path / "pyodide-1.2.3.tgz").write_bytes(b"the arch")
    assert pinned(b"the archive").fetch(tmp_path).read_bytes() == b"the archive"


def test_without_a_network_the_error_names_the_file_and_the_flag(registry, tmp_path):
    registry.content = None
    with pytest.raises(InputError) as caught:
        PYODIDE.fetch(tmp_path)
    assert PYODIDE.file in caught.value.asked
    assert f"--pyodide {PYODIDE.file}" in caught.value.fixes[0]
    assert str(caught.value.origin) == PYODIDE.address


def test_the_cache_is_the_users(registry, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert pinned(b"the archive").fetch().parent == tmp_path / "dist_epochs"


def test_a_local_archive_is_read_whatever_its_version(tmp_path):
    found = read_pyodide(archive_of(tmp_path / "a.tgz"))
    assert found.version == "1.2.3"
    assert found.files == {name: name.encode() for name in FILES}


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_bytes(b"no archive"),
        lambda path: path.write_bytes(b""),
        lambda path: archive_of(path, without=("pyodide.asm.wasm",)),
        lambda path: archive_of(path, name="axe-core"),
        lambda path: archive_of(path, without=("package.json",)),
        lambda path: path.write_bytes(archive_of(path).read_bytes()[:-60]),
    ],
    ids=["text", "empty", "a file is missing", "another package", "no package.json", "cut short"],
)
def test_what_is_no_archive_of_pyodide_is_refused(tmp_path, make):
    path = tmp_path / "a.tgz"
    make(path)
    with pytest.raises(InputError) as caught:
        read_pyodide(path)
    assert caught.value.origin.name == str(path)
    assert "pyodide.mjs" in caught.value.rule


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError) as caught:
        read_pyodide(tmp_path / "pyodide.tgz")
    assert caught.value.asked == "no such file"
