from __future__ import annotations

import mmap
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from dist_epochs.runtime import mapped_files
from dist_epochs.runtime.mapped_files import MappedFiles

IDS = np.dtype("<u2")


def bytes_of_files():
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssFile"))
    return int(line.split()[1]) * 1024


def test_a_file_is_an_array(tmp_path):
    path = tmp_path / "ids"
    path.write_bytes(b"head" + np.arange(100, dtype=IDS).tobytes())
    files = MappedFiles()
    assert files.map(path, IDS, offset=4).tolist() == list(range(100))
    assert files.map(path.open("rb"), IDS, offset=6, count=3).tolist() == [1, 2, 3]
    assert files.map(path, IDS, count=0).tolist() == []
    assert not files.map(path, IDS).flags.writeable
    (tmp_path / "empty").touch()
    assert files.map(tmp_path / "empty", IDS).tolist() == []


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell")
def test_what_was_read_does_not_add_up(tmp_path, monkeypatch):
    most, size = 2**23, 2**26
    monkeypatch.setattr(mapped_files, "MOST_BYTES", most)
    monkeypatch.setattr(mapped_files, "READ_BETWEEN", 2**20)
    values = np.arange(size // 2, dtype=np.uint32).astype(IDS)
    (tmp_path / "ids").write_bytes(values.tobytes())
    peaks, sums = {}, set()
    for gives_back in (False, True):
        files = MappedFiles()
        ids = files.map(tmp_path / "ids", IDS)
        before, peak, sum_ = bytes_of_files(), 0, 0
        for _ in range(2):  # what was given back is read again
            for first in range(0, len(ids), 2**18):
                sum_ += int(ids[first : first + 2**18].sum(dtype=np.int64))
                peak = max(peak, bytes_of_files() - before)
                if gives_back:
                    files.used(2**18)
        peaks[gives_back] = peak
        sums.add(sum_)
    assert sums == {2 * int(values.sum(dtype=np.int64))}
    assert peaks[False] > size * 3 // 4
    assert peaks[True] < most + 2**23


def test_an_array_that_is_gone_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(mapped_files, "MOST_BYTES", -1)
    (tmp_path / "ids").write_bytes(bytes(2 * mmap.PAGESIZE))
    files = MappedFiles()
    first, second = (files.map(tmp_path / "ids", IDS) for _ in range(2))
    del first
    files.used(mapped_files.READ_BETWEEN)
    assert not second.any()
    assert len(files._maps) == 1


def test_a_thread_may_map_files_while_another_gives_them_back(tmp_path, monkeypatch):
    monkeypatch.setattr(mapped_files, "MOST_BYTES", -1)
    monkeypatch.setattr(mapped_files, "_bytes_of_files", lambda: 0)
    (tmp_path / "ids").write_bytes(bytes(mmap.PAGESIZE))
    files, before = MappedFiles(), sys.getswitchinterval()

    def map_and_forget():
        for _ in range(60):
            assert len([files.map(tmp_path / "ids", IDS) for _ in range(100)]) == 100

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(1) as threads:
            mapping = threads.submit(map_and_forget)
            while not mapping.done():
                files.used(mapped_files.READ_BETWEEN)
        mapping.result()
    finally:
        sys.setswitchinterval(before)
