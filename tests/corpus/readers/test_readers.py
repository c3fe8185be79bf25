import errno
import gzip
import json
import os
import random
import tracemalloc
from pathlib import Path

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main
from dist_epochs.corpus.input.document import BadDocument
from dist_epochs.corpus.input.sources import find_sources
from dist_epochs.corpus.readers import parquet as parquet_reader
from dist_epochs.corpus.readers import text
from dist_epochs.errors import InputError, Origin


def read(*arguments, **options):
    (source,) = find_sources(tuple(map(str, arguments)), **options)
    return [document for unit in source.units for document in source.read(unit)]


@pytest.mark.parametrize(
    ("mode", "documents"),
    [
        ("line", ["one", "still one", "", "two", "  ", "three"]),
        ("paragraph", ["one\nstill one", "two", "three"]),
        ("file", ["one\nstill one\n\ntwo\n  \nthree"]),
    ],
)
def test_what_a_document_of_a_text_file_is(tmp_path, mode, documents):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffone\r\nstill one\n\ntwo\n  \nthree".encode())
    assert read(path, document=mode) == documents


def test_bytes_that_are_no_text_have_a_line(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"fine\nbro\xffken\nfine\n")
    first, broken, last = read(path)
    assert (first, last) == ("fine", "fine")
    assert broken.asked == "not UTF-8: invalid start byte at byte 3 of the line"
    assert broken.origin == Origin(str(path), 2)
    assert isinstance(read(path, document="paragraph")[0], BadDocument)
    assert isinstance(read(path, document="file")[0], BadDocument)


def test_json_lines(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"text": "one"}\n\n{"text": "tw\n[1]\n{"body": "x"}\n{"text": 5}\n{"text": "\\ud800"}\n{"text": ""}\n'
    )
    first, *broken, last = read(path)
    assert (first, last) == ("one", "")
    assert [(document.origin, document.asked) for document in broken] == [
        (Origin(str(path), 3), "broken JSON: Unterminated string starting at (column 10)"),
        (Origin(str(path), 4), "a JSON list, not an object with a 'text' key"),
        (Origin(str(path), 5), "no 'text' key"),
        (Origin(str(path), 6), "'text' holds int, not text"),
        (Origin(str(path), 7), "'text' holds half a surrogate pair, which is not text"),
    ]
    assert (broken[2].rule, broken[2].fixes) == ("there are 'body'", ("--text-column",))
    assert read(path, text_column="body")[3] == "x"


@pytest.mark.parametrize("line", ['{"text": ' + "9" * 5000 + "}", "[" * 100_000])
def test_json_that_breaks_the_parser(tmp_path, line):
    path = tmp_path / "a.jsonl"
    path.write_text(line + "\n")
    (document,) = read(path)
    assert isinstance(document, BadDocument)


def test_gzip(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"text": "one"}\n'))
    assert read(path) == ["one"]
    path.write_bytes(gzip.compress(b'{"text": "one"}\n' * 1000)[:-20])
    with pytest.raises(InputError, match="damaged or cut gzip"):
        read(path)
    whole = bytearray(gzip.compress(bytes(range(256)) * 50))
    whole[30] ^= 255
    path.write_bytes(whole)
    with pytest.raises(InputError, match="damaged or cut gzip"):
        read(path)


def test_parquet_and_a_folder_in_the_hub_s_layout(tmp_path):
    datasets = pytest.importorskip("datasets")
    folder = tmp_path / "set"
    folder.mkdir()
    datasets.Dataset.from_dict({"text": ["one", None, "three"], "n": [1, 2, 3]}).to_parquet(
        folder / "train-00000-of-00001.parquet"
    )
    for argument in (folder / "train-00000-of-00001.parquet", folder, f"hf:{folder}"):
        first, none, last = read(argument)
        assert (first, last) == ("one", "three")
        assert "row 1: 'text' holds NoneType" in str(none)
    with pytest.raises(InputError, match=r"no column 'body': there are text, n"):
        read(folder, text_column="body")
    (folder / "train-00000-of-00001.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        read(folder)


def test_a_folder(tmp_path):
    for name in ("b.txt", "a.jsonl", "deep/c.txt", "readme.md", ".hidden.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('{"text": "json"}' if name == "a.jsonl" else name)
    (source,) = find_sources((str(tmp_path),))
    assert [document for unit in source.units for document in source.read(unit)] == ["json", "b.txt", "deep/c.txt"]
    assert {Path(each.path).name: each.reason for each in source.not_read} == {
        ".hidden.txt": "hidden",
        "readme.md": "not text, JSON lines or Parquet",
    }


def test_what_a_folder_does_not_read_is_listed(tmp_path, monkeypatch):
    corpus, outside = tmp_path / "corpus", tmp_path / "outside"
    for path in ("corpus/a/x.txt", "corpus/.hidden/x.txt", "corpus/shut/x.txt", "outside/y.txt", "blob"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("one two")
    (corpus / "link").symlink_to(outside)
    (corpus / "circle").symlink_to(corpus)
    (corpus / "lost.txt").symlink_to(tmp_path / "nowhere.txt")
    (corpus / "linked.txt").symlink_to(tmp_path / "blob")
    (corpus / "zero.txt").symlink_to("/dev/zero")
    os.mkfifo(corpus / "pipe.txt")
    listed = Path.iterdir

    def refused(path):
        if path.name == "shut":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", refused)
    (source,) = find_sources((str(corpus),))
    assert [Path(unit.name).name for unit in source.units] == ["x.txt", "linked.txt"]
    reasons = {
        ".hidden": "hidden",
        "circle": "a link to a folder",
        "link": "a link to a folder",
        "lost.txt": "a link to nothing",
        "pipe.txt": "neither a file nor a folder",
        "shut": "a folder that cannot be read: Permission denied",
        "zero.txt": "neither a file nor a folder",
    }
    assert {Path(each.path).name: each.reason for each in source.not_read} == reasons
    arguments = ["tokenize", str(corpus), "--tokenizer", "embedded", "--count-only"]
    result = CliRunner().invoke(main, [*arguments, "--json"])
    counts = json.loads(result.stdout)
    assert counts["documents"] == 2
    assert {Path(each["path"]).name: each["reason"] for each in counts["not_read"]} == reasons
    lines = CliRunner().invoke(main, arguments).stderr.splitlines()
    assert f"not read, a link to a folder: {corpus / 'link'}" in lines
    assert len(lines) == len(reasons)


@pytest.mark.parametrize("document", ["line", "paragraph", "file"])
@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_a_document_that_is_too_large(tmp_path, monkeypatch, document, name):
    monkeypatch.setattr(text, "LARGEST_DOCUMENT", 100)
    monkeypatch.setattr(text.read_lines, "__defaults__", (100, 0, 0))
    lines = [b"x" * 100, b"", b"y" * 101, b"", b"z" * 3_000_000, b"", b"last"]
    content = b"\n".join(lines)
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    documents = read(path, document=document)
    places = [each.origin for each in documents if isinstance(each, BadDocument)]
    match document:
        case "file":
            assert places == [Origin(str(path), 2)]
        case _:
            assert places == [Origin(str(path), 3), Origin(str(path), 5)]
            assert [each for each in documents if isinstance(each, str) and each] == ["x" * 100, "last"]


@pytest.mark.parametrize("document", ["paragraph", "file"])
def test_a_document_of_too_many_lines(tmp_path, monkeypatch, document):
    monkeypatch.setattr(text, "MOST_LINES", 10)
    (tmp_path / "a.txt").write_text("x\n" * 10)
    assert read(tmp_path / "a.txt", document=document) == ["\n".join("x" * 10)]
    (tmp_path / "a.txt").write_text("x\n" * 30)
    (broken,) = read(tmp_path / "a.txt", document=document)
    assert broken.origin == Origin(str(tmp_path / "a.txt"), 11)


@pytest.mark.parametrize("name", ["bomb.txt.gz", "bomb.jsonl.gz"])
def test_a_line_of_gigabytes_in_little_memory(tmp_path, name):
    """A gibibyte, packed to a thousandth of it: without end as far as the reader knows."""
    path = tmp_path / name
    member = gzip.compress(b"a" * 2**24, 1)
    path.write_bytes(member * 64)
    tracemalloc.start()
    (source,) = find_sources((str(path),))
    first = next(source.read(source.units[0]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(first, BadDocument)
    assert first.origin == Origin(str(path), 1)
    assert peak < 400 * 2**20


def test_parquet_by_pyarrow_alone(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "a.parquet"
    half = pyarrow.py_buffer(b"a\xff")
    bad = pyarrow.Array.from_buffers(pyarrow.string(), 1, [None, pyarrow.py_buffer(b"\0\0\0\0\2\0\0\0"), half])
    for texts, expected in (
        (pyarrow.array(["one", None, "three"]), ["one", BadDocument, "three"]),
        (pyarrow.array(["one", "two"], pyarrow.large_string()), ["one", "two"]),
        (pyarrow.array(["one", "two"]).dictionary_encode(), ["one", "two"]),
        (pyarrow.array([["one"]]), [BadDocument]),
        (pyarrow.array([b"one"]), [BadDocument]),
        (pyarrow.array([1]), [BadDocument]),
        (bad, [BadDocument]),
        (pyarrow.array([], pyarrow.string()), []),
        (pyarrow.array([f"{number}" for number in range(5000)]), [f"{number}" for number in range(5000)]),
    ):
        parquet.write_table(pyarrow.table({"text": texts, "n": list(range(len(texts)))}), path, row_group_size=700)
        found = read(path)
        assert [type(each) if isinstance(each, BadDocument) else each for each in found] == expected
        for row, each in enumerate(found):
            assert isinstance(each, str) or each.origin == Origin(f"{path}: row {row}")


def test_a_parquet_file_with_one_text_in_a_million_rows(tmp_path):
    """Where rows repeat a text it stands in the file once, and it must not be in memory a million times."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 100_000, pyarrow.int32()), ["x" * 2**20])
    parquet.write_table(pyarrow.table({"text": rows}), tmp_path / "a.parquet")
    pyarrow.default_memory_pool().release_unused()
    (source,) = find_sources((str(tmp_path / "a.parquet"),))
    documents = source.read(source.units[0])
    assert [len(next(documents)) for _ in range(3)] == [2**20] * 3
    assert pyarrow.total_allocated_bytes() < 100 * 2**20


@pytest.mark.parametrize("texts", [["a" * 2000], ["a" * 90] * 30 + ["b" * 200_000]], ids=["a row", "packed small"])
def test_a_parquet_file_that_unpacks_to_too_much(tmp_path, monkeypatch, texts):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    monkeypatch.setattr(parquet_reader, "LARGEST_DOCUMENT", 1000)
    monkeypatch.setattr(parquet_reader, "LARGEST_GROUP", 1000)
    path = tmp_path / "a.parquet"
    table = pyarrow.table({"text": texts})
    parquet.write_table(table, path, compression="zstd", use_dictionary=False, write_statistics=False)
    with pytest.raises(InputError, match=r"row group 0: .* rows that unpack to"):
        read(path)


def test_a_damaged_parquet_file(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"text": ["one", "two"] * 50}), path)
    whole, draw = path.read_bytes(), random.Random(5)
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged[: draw.choice([len(whole), draw.randrange(len(whole))])])
        try:
            read(path)
        except InputError as error:
            assert str(path) in error.origin.name


def test_names(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "wiki.txt.gz").write_bytes(gzip.compress(b"x"))
    named = find_sources((f"web={tmp_path}/a.txt", f"{tmp_path}/wiki.txt.gz", "embedded"))
    assert [source.name for source in named] == ["web", "wiki", "python-docs"]
    with pytest.raises(InputError, match="two sources are called 'a'"):
        find_sources((f"{tmp_path}/a.txt", f"{tmp_path}/a.txt"))
    with pytest.raises(InputError, match="is for held-out documents"):
        find_sources((f"web.held-out={tmp_path}/a.txt",))
    with pytest.raises(InputError, match="cannot name a source"):
        find_sources((f"../x={tmp_path}/a.txt",))


@pytest.mark.parametrize(
    ("name", "part"), [("none.txt", "no such file"), ("empty", "no .txt"), ("a.csv", "not a .txt")]
)
def test_what_is_no_source(tmp_path, name, part):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.csv").touch()
    with pytest.raises(InputError, match=part):
        find_sources((str(tmp_path / name),))


def test_the_embedded_text_is_the_interpreter_s_own():
    from pydoc_data.topics import topics

    assert (
        sum(len(text.split()) for text in read("embedded"))
        == sum(len(text.split()) for text in topics.values())
        > 50_000
    )
