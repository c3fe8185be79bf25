import gzip
from pathlib import Path

import pytest

from dist_epochs.corpus.readers.document import BadDocument
from dist_epochs.corpus.sources import find_sources
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
