from dataclasses import dataclass

import pytest

from dist_epochs.errors import InputError, Origin
from dist_epochs.recipe.values import COUNT, NUMBER, TEXT
from dist_epochs.settings.document import Document
from dist_epochs.settings.fields import Many, Part, Value, key


@dataclass(frozen=True, kw_only=True)
class Small:
    per_device: int = key(COUNT)
    ratio: float = key(NUMBER, 0.0)
    words: str = key(TEXT, "")


@dataclass(frozen=True, kw_only=True)
class Whole:
    name: str = key(TEXT)
    batch: Small = key(Part(Small))
    items: tuple = key(Many(Part(Small)), ())
    anything: dict | None = key(Value(dict, ("object",)), None)


def read(tmp_path, text, *overrides):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    document = Document.read(path)
    for setting in overrides:
        document.override(setting)
    return document.make(Whole)


def errors(tmp_path, text, *overrides):
    with pytest.raises(InputError) as caught:
        read(tmp_path, text, *overrides)
    return str(caught.value).replace(f"{tmp_path}/", "").splitlines()


def test_plain_scalars_follow_yaml_1_2(tmp_path):
    whole = read(
        tmp_path, "name: on\nbatch: {per_device: 4, ratio: 1e-3, words: 12:30}\nanything: {a: no, b: 017, c: null}"
    )
    assert (whole.name, whole.batch.ratio, whole.batch.words) == ("on", 1e-3, "12:30")
    assert whole.anything == {"a": "no", "b": "017", "c": None}


def test_all_problems_at_once_with_lines_and_the_nearest_key(tmp_path):
    assert errors(
        tmp_path, "nmae: x\nbatch:\n  per_devcie: 4\n  ratio: often\nitems:\n- per_device: 1\n- {words: a}\n"
    ) == [
        "r.yaml:1: unknown key 'nmae'; did you mean 'name'?",
        "r.yaml:1: missing key 'name'",
        "r.yaml:2: missing key 'batch.per_device'",
        "r.yaml:3: unknown key 'batch.per_devcie'; did you mean 'per_device'?",
        "r.yaml:4: batch.ratio: the value 'often' is not a number: numbers are written 1M, 3.3B words, 256x512, "
        "2**16, 1/3 or 90%",
        "r.yaml:7: missing key 'items.1.per_device'",
    ]


def test_a_key_like_no_other_lists_what_is_known(tmp_path):
    assert errors(tmp_path, "name: x\nbatch: {per_device: 1, zzz: 2}") == [
        "r.yaml:2: unknown key 'batch.zzz'; known here: per_device, ratio, words"
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [a", "r.yaml:1:9: not YAML: expected ',' or ']', but got '<stream end>'"),
        ("name: a\nname: b\n", "r.yaml:2: name stands twice: the first is at r.yaml:1. Try keeping one of the two."),
        ("- a\n", "r.yaml:1: it holds a list, not keys and values"),
        ("", "r.yaml:1: it holds nothing, not keys and values"),
        ("? [a]\n: b\n", "r.yaml:1: a key must be a word"),
        ("name: &a [*a]", "r.yaml:1: an alias stands within its own anchor, so it has no end. Try removing it."),
        (f"name: {'[' * 51}{']' * 51}", "r.yaml:1: keys or lists are nested more than 50 deep"),
        ("name: !env X", "r.yaml:1: a tag (!…) of another program, which is not read. Try removing it."),
    ],
)
def test_files_that_are_no_recipe(tmp_path, text, message):
    assert errors(tmp_path, text) == [message]


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_bytes(b"name: a\nbatch: \xff\n")
    with pytest.raises(InputError, match=r"r\.yaml:2: not UTF-8"):
        Document.read(path)


def test_a_missing_file_names_its_neighbour(tmp_path):
    (tmp_path / "demo.yaml").touch()
    with pytest.raises(InputError, match="no such file") as caught:
        Document.read(tmp_path / "dmeo.yaml")
    assert caught.value.fixes == (str(tmp_path / "demo.yaml"),)


def test_aliases_that_stand_for_too_much(tmp_path):
    levels = [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 10)]
    text = "\n".join(["name: x", "a0: &a0 [laugh]", *levels])
    assert errors(tmp_path, text) == [
        "r.yaml:7: more than 100,000 values, with aliases (*…) written out. Try writing out what is meant."
    ]


def test_an_alias_is_a_value_of_its_own(tmp_path):
    text = "name: x\nbatch: &batch {per_device: 1}\nitems: [*batch, *batch]\n"
    whole = read(tmp_path, text, "items.0.per_device=2")
    assert [item.per_device for item in (whole.batch, *whole.items)] == [1, 2, 1]


def test_a_document_says_where_each_setting_was_stated(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("name: x\nbatch:\n  per_device: 1\n")
    document = Document.read(path)
    document.put(("batch", "uneven"), "pad", Origin("the Trainer"), is_default=True)
    document.override("items.words=a")
    assert document.where(("batch", "per_device")) == Origin(str(path), 3)
    assert document.where(("batch", "ratio")) == Origin(str(path), 2)
    assert document.where(("items", "words")) == document.where(("items",)) == Origin("--set items.words")
    assert document.is_default(("batch", "uneven"))
    document.put(("batch", "uneven"), "drop", Origin("--uneven"))
    assert not document.is_default(("batch", "uneven"))
    assert document.copy().where(("batch", "uneven")) == Origin("--uneven")


def test_overrides(tmp_path):
    text = "name: x\nbatch: {per_device: 1}\nitems:\n- per_device: 1\n"
    whole = read(tmp_path, text, "batch.per_device=7", "items.0.words=3.3B words", "anything={a: 1}")
    assert (whole.batch.per_device, whole.items[0].words, whole.anything) == (7, "3.3B words", {"a": 1})


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("batch.per_devcie=1", "--set batch.per_devcie: unknown key 'batch.per_devcie'; did you mean 'per_device'?"),
        ("batch.ratio=often", "--set batch.ratio: batch.ratio: the value 'often' is not a number"),
        ("batch", "--set batch: write key=value"),
        ("items.².words=a", "--set items.².words: there is no items.²: '²' must be a number from 0 to 0"),
        ("batch.per_device=1__0", "--set batch.per_device: batch.per_device: the value '1__0' is not a number"),
        ("items.3.words=a", "--set items.3.words: there is no items.3: '3' must be a number from 0 to 0"),
        ("name.first=a", "--set name.first: name is 'x', which has no parts"),
    ],
)
def test_overrides_have_errors_of_their_own(tmp_path, override, message):
    text = "name: x\nbatch: {per_device: 1}\nitems:\n- per_device: 1\n"
    assert errors(tmp_path, text, override)[0].startswith(message)
