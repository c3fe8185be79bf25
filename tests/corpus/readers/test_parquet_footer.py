"""Counts of Parquet files by their footers are those that reading the rows gives, or there are none."""

import random

import pytest

from dist_epochs.corpus.input.thrift import read_struct
from dist_epochs.corpus.input.token_files import Reading
from dist_epochs.corpus.readers import columns
from dist_epochs.corpus.readers.columns import COLUMNS
from dist_epochs.corpus.readers.parquet_footer import rows_of_footer
from dist_epochs.errors import InputError

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

PACKED = [[1, 2, 3, 4]] * 10
RAGGED = [[7] * (1 + row % 5) for row in range(23)]
LISTS = pyarrow.list_(pyarrow.int32())


def written(path, rows, kind=LISTS, mask=None, **options):
    table = {"input_ids": pyarrow.array(rows, kind)}
    if mask is not None:
        table["attention_mask"] = pyarrow.array(mask, pyarrow.list_(pyarrow.int8()))
    parquet.write_table(pyarrow.table(table), path, **{"row_group_size": 4, **options})
    return path


def both(path, monkeypatch, eos=None):
    """What is known of a file with its footer, and without."""
    by_footer = COLUMNS.facts(path, Reading(eos=eos), True)
    monkeypatch.setattr(columns, "rows_of_footer", lambda path: None)
    return by_footer, COLUMNS.facts(path, Reading(eos=eos), True)


TOLD = {
    "packed": (PACKED, {}),
    "ragged": (RAGGED, {}),
    "one-row": ([[1, 2]], {}),
    "even-groups": ([[1, 2], [1], [1, 2, 3, 4], [1], [1, 2], [3, 4], [5, 6], [7, 8]], {}),
    "masked-by-ones": (PACKED, {"mask": [[1] * 4] * 10}),
    "large-lists": (RAGGED, {"kind": pyarrow.large_list(pyarrow.int64())}),
    "fixed-size-lists": (PACKED, {"kind": pyarrow.list_(pyarrow.uint16(), 4)}),
    "plain-pages": (RAGGED, {"use_dictionary": False, "compression": "none", "data_page_version": "2.0"}),
}


@pytest.mark.parametrize("name", TOLD)
def test_a_footer_that_tells_counts_tells_the_right_ones(tmp_path, monkeypatch, name):
    rows, options = TOLD[name]
    path = written(tmp_path / "a.parquet", rows, **options)
    assert rows_of_footer(path).tokens == sum(map(len, rows))
    by_footer, by_rows = both(path, monkeypatch)
    assert by_footer == by_rows


UNTOLD = {
    "empty-rows": ([[1, 2], [], [3]], {}),
    "missing-rows": ([[1, 2], None, [3]], {}),
    "padding": (PACKED, {"mask": [[1, 1, 1, 0]] * 10}),
    "no-statistics": (PACKED, {"write_statistics": False}),
}


@pytest.mark.parametrize("name", UNTOLD)
def test_where_the_footer_does_not_tell_rows_are_read(tmp_path, monkeypatch, name):
    rows, options = UNTOLD[name]
    path = written(tmp_path / "a.parquet", rows, **options)
    assert rows_of_footer(path) is None
    by_footer, by_rows = both(path, monkeypatch)
    assert by_footer == by_rows


def test_gaps_between_ids_are_refused(tmp_path):
    path = written(tmp_path / "a.parquet", [[1, None, 3]])
    with pytest.raises(InputError):
        COLUMNS.facts(path, Reading(), True)


def test_ends_of_documents_are_counted_in_the_rows(tmp_path, monkeypatch):
    path = written(tmp_path / "a.parquet", PACKED)
    assert COLUMNS.facts(path, Reading(eos=4), True).documents == 10


def test_ids_are_not_read_where_the_footer_tells(tmp_path):
    path = written(tmp_path / "a.parquet", [[row, row + 1] for row in range(10_000)], row_group_size=1000)
    start = parquet.ParquetFile(path).metadata.row_group(9).column(0).data_page_offset
    raw = bytearray(path.read_bytes())
    raw[start : start + 40] = bytes(40)
    path.write_bytes(raw)
    facts = COLUMNS.facts(path, Reading(), True)
    assert (facts.tokens, facts.more["rows"], facts.more["packed"]) == (20_000, 10_000, True)
    with pytest.raises(InputError):
        list(COLUMNS.documents(path, Reading(eos=1)))


def test_rows_of_different_lengths_are_not_called_even_by_their_sum(tmp_path, monkeypatch):
    path = written(tmp_path / "a.parquet", [[1], [1, 2, 3], [1, 2], [1, 2]] * 3)
    assert rows_of_footer(path).is_even
    by_footer, by_rows = both(path, monkeypatch)
    assert by_footer == by_rows
    assert not by_footer.more["packed"]


def test_a_writer_whose_counts_mean_something_else_is_not_believed(tmp_path):
    path = written(tmp_path / "a.parquet", PACKED)
    path.write_bytes(path.read_bytes().replace(b"parquet-cpp-arrow", b"parquet-new-arrow"))
    assert rows_of_footer(path) is None


def test_no_damaged_footer_makes_anything_but_numbers_or_none(tmp_path):
    path = written(tmp_path / "a.parquet", RAGGED, mask=[[1] * len(row) for row in RAGGED])
    raw, draw = path.read_bytes(), random.Random(5)
    footer = len(raw) - 8 - int.from_bytes(raw[-8:-4], "little")
    untold = 0
    for _ in range(400):
        changed = bytearray(raw)
        for _ in range(draw.randrange(1, 4)):
            changed[draw.randrange(footer, len(raw))] = draw.choice([0, 127, 128, 255, draw.randrange(256)])
        path.write_bytes(changed)
        untold += rows_of_footer(path) is None
    assert untold > 100


def test_structures_inside_each_other_end():
    with pytest.raises(ValueError, match="without an end"):
        read_struct(b"\x1c" * 10_000)
    with pytest.raises(ValueError, match="ends inside"):
        read_struct(b"\x15")
