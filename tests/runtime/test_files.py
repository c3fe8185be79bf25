"""Files and folders are whole or absent, and one program at a time writes to a folder."""

import errno
import os

import pytest

from dist_epochs.errors import InputError, Origin
from dist_epochs.runtime.files import new_folder, run_lock, write_json, write_text


def test_one_program_at_a_time_writes_to_a_run(tmp_path):
    with (
        run_lock(tmp_path),
        pytest.raises(InputError, match="another program is running this run") as refused,
        run_lock(tmp_path),
    ):
        raise AssertionError("locked twice")
    assert (refused.value.origin, refused.value.fixes) == (Origin(str(tmp_path)), ("waiting for it", "stopping it"))
    with run_lock(tmp_path):
        pass


def test_an_error_inside_opens_the_lock(tmp_path):
    with pytest.raises(ZeroDivisionError), run_lock(tmp_path):
        _ = 1 / 0
    with run_lock(tmp_path):
        pass


@pytest.mark.parametrize("write", [write_text, lambda path, text: write_json(path, {"text": text})])
def test_a_file_is_the_old_one_until_the_new_one_is_whole(tmp_path, monkeypatch, write):
    path = tmp_path / "a"
    write(path, "old")
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write(path, "new")
    assert path.read_bytes() == before
    write(path, "new")
    assert path.read_bytes() != before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def fill(path, text, **options):
    with new_folder(path, **options) as folder:
        (folder / "file").write_text(text)


def test_a_folder_is_the_old_one_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a"
    fill(path, "old")
    with pytest.raises(ZeroDivisionError), new_folder(path):
        _ = 1 / 0
    assert (path / "file").read_text() == "old"
    fill(path, "new")
    assert (path / "file").read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_is_not_to_be_replaced(tmp_path):
    path = tmp_path / "deep" / "a"
    fill(path, "first", replaces=False)
    with pytest.raises(OSError, match="not empty") as taken:
        fill(path, "second", replaces=False)
    assert taken.value.errno == errno.ENOTEMPTY
    assert (path / "file").read_text() == "first"
    assert [entry.name for entry in path.parent.iterdir()] == ["a"]
