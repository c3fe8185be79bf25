"""Forms of files: tags, merge keys and references; and files that are cut, mixed, misnamed or huge."""

from pathlib import Path

import pytest

from dist_epochs.errors import InputError
from dist_epochs.settings.section import read_section
from dist_epochs.tool_configs.detect import read_settings
from dist_epochs.tool_configs.references import known_file

SAMPLES = Path(__file__).parent / "samples"
FILES = sorted(path for path in SAMPLES.glob("*/*/*") if path.name != "expected.json")

TUNE = "a: {_component_: x.Y}\nb: {_component_: x.Z}\n"


def values(settings, *names):
    return tuple(stated.value if (stated := getattr(settings, name)) else None for name in names)


@pytest.mark.parametrize(
    ("text", "batch", "line"),
    [
        ("base: &base {batch_size: 4}\n<<: *base\n", 4, 3),
        ("base: &base {batch_size: 4, epochs: 2}\n<<: *base\nbatch_size: 8\n", 8, 5),
        ("batch_size: 8\none: &one {batch_size: 2}\n<<: *one\n", 8, 3),
        ("one: &one {batch_size: 2}\ntwo: &two {batch_size: 3, epochs: 1}\n<<: [*one, *two]\n", 2, 3),
    ],
)
def test_merge_keys(folder, text, batch, line):
    stated = folder.write("a.yaml", TUNE + text).read("a.yaml").per_device
    assert (stated.value, stated.where.line) == (batch, line)


@pytest.mark.parametrize(
    ("text", "batch"),
    [
        ("batch_size: ${n}\nn: 4\n", 4),
        ("batch_size: ${data.sizes.1}\ndata: {sizes: [2, 6]}\n", 6),
        ("batch_size: ${data.sizes[0]}\ndata: {sizes: [2, 6]}\n", 2),
        ("batch_size: ${.n}\nn: ${deep.er.n}\ndeep: {n: 5, er: {n: ${..n}}}\n".replace("${..n}", "'${..n}'"), 5),
        ("batch_size: ${all.n}\nall: ${other}\nother: {n: 7}\n", 7),
        ("batch_size: !!int '9'\n", 9),
    ],
)
def test_references_lead_everywhere(folder, text, batch):
    assert folder.write("a.yaml", TUNE + text).read("a.yaml").per_device.value == batch


def test_a_reference_inside_a_text(folder):
    text = "global_train_batch_size: 8\nmax_seq_len: 16\nn: 40\nmax_duration: ${n}ba\n"
    assert folder.write("a.yaml", text).read("a.yaml").steps.value == 40


@pytest.mark.parametrize(
    ("value", "knows"),
    [("${oc.env:N}", "OmegaConf"), ("${gone}", "OmegaConf"), ("!include n.yaml", "the program of its tag")],
)
def test_what_is_unknown_is_an_error_only_where_it_counts(folder, value, knows):
    read = folder.write("a.yaml", f"{TUNE}batch_size: 4\nseed: {value}\nlogging: {value}\n").read("a.yaml")
    assert values(read, "per_device", "seed") == (4, None)
    assert [note for note in read.notes if "is known to" in note] == [
        f"{folder.path}/a.yaml:4 seed: its value is known to {knows} only, and is not used"
    ]
    with pytest.raises(InputError) as caught:
        folder.write("a.yaml", f"{TUNE}batch_size: {value}\n").read("a.yaml")
    assert caught.value.asked.endswith(f"which only {knows} knows")
    assert caught.value.origin.line == 3


def test_references_do_not_fill_the_memory(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a0: [x]\n" + "".join(f"a{n}: [{', '.join([f'${{a{n - 1}}}'] * 10)}]\n" for n in range(1, 12)))
    with pytest.raises(InputError):
        known_file(read_section(path))


@pytest.mark.parametrize("file", FILES, ids=lambda path: str(path.relative_to(SAMPLES)))
def test_a_file_that_is_cut_is_read_or_an_error_with_its_place(file, tmp_path):
    raw = file.read_bytes()
    for cut in range(0, len(raw), max(len(raw) // 40, 1)):
        path = tmp_path / file.name
        path.write_bytes(raw[:cut])
        try:
            read_settings(path)
        except InputError as error:
            assert str(path) in str(error) or error.origin is None


@pytest.mark.parametrize(
    ("name", "text", "asked"),
    [
        ("a.json", '{"base_model": "m", "micro_batch_size": 4', "not JSON"),
        ("a.yaml", "base_model: [m\nmicro_batch_size: 4\n", "not YAML"),
        ("a.toml", "base_model: m\nmicro_batch_size: 4\n", "not TOML"),
        ("a.py", "base_model: m\nmicro_batch_size: 4 x\n", "not Python"),
        ("a.yaml", "", "it holds nothing"),
        ("a.yaml", "x: 1\n", "none of the files that are read here"),
        ("a.sh", "#!/bin/sh\necho hello\n", "none of the commands of this script trains"),
        (
            "a.py",
            "def small():\n    return Job(training=TrainingConfig(steps=5))\n",
            "this is a configuration of torchtitan",
        ),
        ("a.yaml", "PAR1\x00\x15", "a control character"),
        ("a.yaml", "a" * 4_000_001, "more than 4 MB, and a settings file is smaller"),
    ],
    ids=["json", "yaml", "toml", "python", "empty", "unknown", "script", "torchtitan", "binary", "huge"],
)
def test_damaged_and_unknown_files_are_told_apart(tmp_path, name, text, asked):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_settings(path)
    assert caught.value.asked.startswith(asked)


def test_a_right_file_of_another_name_is_read(tmp_path):
    (tmp_path / "ds.json").write_bytes((SAMPLES / "llama-factory/streaming-packed/ds.json").read_bytes())
    for file in FILES:
        if file.suffix not in (".yaml", ".yml", ".json", ".toml"):
            continue
        path = tmp_path / "settings"
        path.write_bytes(file.read_bytes())
        try:
            found = read_settings(path).tools
        except InputError as error:
            assert "which is not read here" in error.asked
            continue
        assert found == read_settings(file).tools
