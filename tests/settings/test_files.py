"""Files that do not end, are too large, or are none."""

import os
import threading

import pytest

from dist_epochs.errors import InputError
from dist_epochs.settings import files
from dist_epochs.settings.files import open_file, read_bytes, read_utf8, refuse_name


def refused(path, most=1000, **more):
    with pytest.raises(InputError) as error:
        read_utf8(path, most, "a note", **more)
    return error.value


def test_what_fits(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"\xef\xbb\xbfa note")
    assert read_utf8(path, 9, "a note") == "a note"
    assert read_bytes(path, 9, "a note")[3:] == b"a note"
    assert refused(path, 8).origin.name == str(path)


def test_what_does_not_end(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(1 << 40)
    for path in ("/dev/zero", tmp_path / "pipe", tmp_path, huge):
        assert refused(path if path is huge else tmp_path / path).origin.name == str(tmp_path / path)
    with pytest.raises(InputError):
        open_file(tmp_path / "pipe")


def test_pipes_where_they_may_be(tmp_path, monkeypatch):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(b"batch: 8\n" * 100))
    writer.start()
    assert read_utf8(path, 1000, "a note", pipes=True) == "batch: 8\n" * 100
    writer.join()
    monkeypatch.setattr(files, "PATIENCE", 0.05)
    assert "0.05 seconds" in refused(path, pipes=True).rule  # nobody writes


def test_the_line_of_what_is_no_text(tmp_path):
    (tmp_path / "a").write_bytes(b"one\ntwo \xff\n")
    assert refused(tmp_path / "a").origin.line == 2


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_no_names(tmp_path, name):
    with pytest.raises(InputError, match=r"no name|not a name"):
        refuse_name(name)
    assert refused(tmp_path / name).asked == "no name of a file"
    refuse_name("\udcff")  # how Python spells the byte 255 in a name
