"""Both syntaxes give the values that other parsers give, and the lines that an editor shows."""

import json
import time
from decimal import Decimal
from fractions import Fraction

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dist_epochs.errors import InputError
from dist_epochs.settings.located import parse_located, read_located
from dist_epochs.settings.section import read_section

SCALARS = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.decimals(
    min_value=-1000, max_value=1000, places=3
).map(Fraction) | st.text(max_size=8)  # fmt: skip
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
)


def plain(located):
    value = located.value
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, tuple) else value


def dumped(tree, **options):
    return json.dumps(tree, default=lambda fraction: float(fraction), **options)


@given(tree=TREES, indent=st.sampled_from([None, 2, "\t"]), ascii_only=st.booleans())
def test_json_is_read_as_the_standard_library_reads_it(tree, indent, ascii_only):
    text = dumped([tree], indent=indent, ensure_ascii=ascii_only)
    assert plain(parse_located(text, "x.json")) == json.loads(text, parse_float=Fraction)


KEYS = st.from_regex("[a-z_]{1,8}", fullmatch=True)


@given(st.dictionaries(KEYS, st.integers() | st.lists(st.integers(), max_size=3), min_size=1))
def test_json_lines_are_those_of_the_keys(data):
    text = json.dumps(data, indent=1)
    lines = {line.split('"')[1]: at for at, line in enumerate(text.split("\n"), 1) if line.startswith(' "')}
    read = parse_located(text, "x.json").value
    assert {key: located.origin.line for key, located in read.items()} == lines


@given(st.dictionaries(KEYS, st.integers() | st.lists(st.integers(), max_size=3), min_size=1))
def test_yaml_lines_are_those_of_the_keys(data):
    text = yaml.safe_dump(data, default_flow_style=False)
    lines = {
        line.split(":")[0].strip("'"): at for at, line in enumerate(text.split("\n"), 1) if line[:1] not in ("-", "")
    }
    read = parse_located(text, "x.yaml").value
    assert {key: located.origin.line for key, located in read.items()} == lines


WORDS = st.text(st.characters(exclude_categories=["Cs", "N"]), max_size=6)  # digits: YAML 1.1 and 1.2 differ


@given(st.dictionaries(KEYS, st.integers() | WORDS, min_size=1))
def test_yaml_is_read_as_pyyaml_reads_it(data):
    assert plain(parse_located(yaml.safe_dump(data), "x.yaml")) == data


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", Fraction(1, 10000)), ("2.0e-05", Fraction(1, 50000)), (".5", Fraction(1, 2)), ("1_000", 1000),
        ("on", "on"), ("no", "no"), ("012", "012"), ("0x10", "0x10"), ("12:30:45", "12:30:45"), ("~", None),
        ("'8'", "8"), ("2024-01-01", "2024-01-01"), ("1e999999999", float("inf")), ("", None),
    ],
)  # fmt: skip
def test_plain_scalars_follow_yaml_1_2(text, value):
    read = parse_located(f"a: {text}", "x.yaml").value["a"].value
    assert (read, isinstance(read, str)) == (value, isinstance(value, str))


@pytest.mark.parametrize("text", ["1e-4", "1.50", "-0", "2E+3", "123456789012345678901234567890", "0.1"])
def test_json_numbers_are_exact(text):
    assert parse_located(f"[{text}]", "x").value[0].value == Fraction(Decimal(text))


def test_what_python_writes_for_no_number_is_read_and_never_a_count():
    values = [item.value for item in parse_located("[NaN, Infinity, -Infinity]", "x.json").value]
    assert [str(value) for value in values] == ["nan", "inf", "-inf"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.json", '{"a": 1,\n "b": 2,\n "a": 3}',
         "x.json:3: a stands twice: the first is at x.json:1. Try keeping one of the two."),
        ("x.yaml", "a: 1\nb: 2\na: 3\n",
         "x.yaml:3: a stands twice: the first is at x.yaml:1. Try keeping one of the two."),
        ("x.json", '{"a": 1,}', "x.json:1:9: not JSON: a comma after the last item"),
        ("x.json", '{"a": 1} {', "x.json:1:10: not JSON: something stands after the end"),
        ("x.json", '{"a": 012}', "x.json:1:8: not JSON: ',' is missing"),
        ("x.json", '{"a": yes}', "x.json:1:7: not JSON: a word without quotes"),
        ("x.json", '{"a"', "x.json:1:5: not JSON: ':' is missing"),
        ("x.json", '{"a": "b\n"}', "x.json:1:9: not JSON: a string with a line break, a control character, a wrong"),
        ("x.json", "{\n// batch\n}", "x.json:2:1: not JSON: a key in double quotes is missing: JSON has no comments"),
        ("x.json", "{'a': 1}", "x.json:1:2: not JSON: a key in double quotes is missing"),
        ("x.yaml", "a: 1\n b: 2", "x.yaml:2:3: not YAML: mapping values are not allowed here"),
        ("x.yaml", "a: 1\n---\nb: 1", "x.yaml:2: a second document begins. Try keeping one."),
        ("x.yaml", "a: &a\n  b: *a",
         "x.yaml:2: an alias stands within its own anchor, so it has no end. Try removing it."),
        ("x.yaml", "<<: 5", "x.yaml:1: a merge key (<<) of what is no mapping. Try keys and values there."),
        ("x.yaml", "? [1]\n: 2", "x.yaml:1: a key must be a word"),
        ("x.yaml", "a: 1\nb: \x07", "x.yaml:2: a control character, which YAML does not have. Try removing it."),
        ("x.yaml", "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 40)),
         "x.yaml:6: more than 100,000 values, with aliases (*…) written out."),
        ("x.yaml", "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 60)),
         "x.yaml:50: keys or lists are nested more than 50 deep"),
        ("x.yaml", "a: {b: 1,022}", "x.yaml:1: b is cut at a comma before '022': inside"),
        ("x.json", "[" * 100_000, "x.json:1: keys or lists are nested more than 50 deep"),
        ("x.yaml", "[" * 20_000, "x.yaml:1: keys or lists are nested more than 50 deep"),
    ],
)  # fmt: skip
def test_what_is_no_json_or_yaml_is_an_error_with_its_line(name, text, message):
    with pytest.raises(InputError) as caught:
        parse_located(text, name)
    assert str(caught.value).startswith(message)


def test_an_anchor_is_composed_once_and_read_wherever_it_is_repeated():
    read = parse_located("a: &a [x, {y: 1}]\nb: [*a, *a]\nc: !!str 5", "x.yaml").value
    assert plain(read["b"]) == [["x", {"y": 1}]] * 2
    assert read["b"].value[0].value is read["a"].value
    assert read["c"].value == "5"


def test_a_file_that_holds_nothing(tmp_path):
    (tmp_path / "x.yaml").write_text("# nothing\n")
    with pytest.raises(InputError) as caught:
        read_section(tmp_path / "x.yaml")
    assert (caught.value.asked, caught.value.origin.line) == ("it holds nothing, not keys and values", 1)


@pytest.mark.parametrize("text", ["token: *hf_secret", "token: !hf_secret!x 1", "a: &x 1\nb: *hf_secret", "%hf_secret"])
def test_a_syntax_error_does_not_repeat_what_may_be_a_secret(text):
    with pytest.raises(InputError) as caught:
        parse_located(text, "x.yaml")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"a: 1\nb: \xff\n", "x.yaml:2: not UTF-8 text"),
        ("{}".encode("utf-16"), "x.yaml:1: not UTF-8 text"),
        (b"#" * 1_000_001, "x.yaml: more than 1 MB"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path, raw, message):
    path = tmp_path / "x.yaml"
    path.write_bytes(raw)
    with pytest.raises(InputError) as caught:
        read_located(path)
    assert str(caught.value).removeprefix(f"{tmp_path}/").startswith(message)


@pytest.mark.parametrize(
    ("name", "message"), [("none.json", "no such file"), (".", "s a directory"), ("a\0b", "no name")]
)
def test_no_file(tmp_path, name, message):
    with pytest.raises(InputError, match=message):
        read_located(tmp_path / name)


def test_a_byte_order_mark_is_not_part_of_the_first_key():
    assert list(parse_located('\ufeff{"a": 1}', "x.json").value) == list(parse_located("\ufeffa: 1", "x.yaml").value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "a: [" + "1," * 490_000 + "]"),
        ("a.yaml", "".join(f"k{at}: 1\n" for at in range(90_000))),
        ("a.py", "".join(f"k{at} = 1\n" for at in range(80_000))),
    ],
    ids=["list", "keys", "assignments"],
)
def test_the_largest_files_take_seconds(name, text):
    begun = time.process_time()
    try:
        parse_located(text, name)
    except InputError as error:
        assert "more than 100,000 values" in error.asked
    assert time.process_time() - begun < 5


def test_sums_of_a_python_file_on_several_lines():
    text = "a = 5 * 8; b = 'é'; c = 1.5e3\r\nd = (2 *\n 3)\nx = 'y'\rf = 7"
    found = {key: (item.value, item.origin.line) for key, item in parse_located(text, "x.py").value.items()}
    assert found == {"a": (40, 1), "b": ("é", 1), "c": (1500, 1), "d": (6, 2), "x": ("y", 4), "f": (7, 5)}
