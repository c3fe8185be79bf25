"""Which tool a file belongs to, and that no content makes anything but a result or an InputError."""

import json

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dist_epochs.errors import InputError
from dist_epochs.tool_configs.complete import complete
from dist_epochs.tool_configs.detect import read_settings
from dist_epochs.tool_configs.kinds import KINDS
from dist_epochs.tool_configs.stated import LaunchSettings, merge


@pytest.mark.parametrize("name", ["a.json", "b", "c.txt", "train.cfg"])
@pytest.mark.parametrize(
    ("data", "values"),
    [
        ({"train_batch_size": 8}, {"global_batch": 8}),
        ({"fp16": {"enabled": True}}, {"precision": "fp16"}),
        ({"num_processes": 8}, {"devices": 8}),
        ({"distributed_type": "NO", "fp16": True}, {"devices": 1, "precision": "fp16"}),
        ({"per_device_train_batch_size": 8}, {"per_device": 8}),
        ({"bf16": True, "gradient_accumulation_steps": 4}, {"precision": "bf16", "gradient_accumulation": 4}),
    ],
)
def test_keys_tell_not_names(folder, data, values, name):
    folder.write(name, data)
    assert folder.values(name) == values
    folder.write(name, yaml.safe_dump(data))
    assert folder.values(name) == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"log_history": [], "global_step": 4, "max_steps": 8, "train_batch_size": 2}',
         "x:1: this is what a Trainer did so far (trainer_state.json)"),
        ("corpus: {tokens: 1M}\nbatch: {global_batch: 8}",
         "x:1: this is a recipe of dist-epochs. Try giving it as the RECIPE."),
        ('{"model_type": "bert", "architectures": []}', "x:1: this is a model's configuration"),
        ("training_arguments:\n  max_steps: 1",
         "x:1: none of the files that are read here: looked at the top for keys of an Accelerate configuration "
         "(distributed_type, num_processes, compute_environment, …); a DeepSpeed configuration (train_batch_size, "
         "train_micro_batch_size_per_gpu, zero_optimization, …); TrainingArguments (per_device_train_batch_size, "
         "num_train_epochs, max_steps, …); max_steps of TrainingArguments stands under training_arguments. Try giving "
         "that part as a file of its own."),
        ("hub_token: hf_secret", "x:1: none of the files that are read here: looked"),
        ("num_processes: 2\nmax_steps: 4",
         "x:1: keys of several tools stand in one file: x:1 num_processes of an Accelerate configuration, and x:2 "
         "max_steps of TrainingArguments: "),
        ("- 1", "x:1: it holds a list, not keys and values"),
        ("1", "x:1: it holds one word, not keys and values"),
    ],
)  # fmt: skip
def test_other_files(folder, text, message):
    assert folder.write("x", text).error("x").startswith(message)


def test_no_key_belongs_to_two_kinds():
    keys = [key for kind in KINDS for key in kind.keys]
    assert len(keys) == len(set(keys))
    assert all(set(kind.typical) <= kind.keys for kind in KINDS)


def test_three_tools_one_launch(folder):
    folder.write(
        "ds.json", {"train_batch_size": 64, "gradient_accumulation_steps": "auto", "zero_optimization": {"stage": 1}}
    )
    folder.write("acc.yaml", "distributed_type: MULTI_GPU\nnum_processes: 4\nmixed_precision: 'no'")
    folder.write("ta.yaml", "per_device_train_batch_size: 2\nbf16: true\nmax_steps: 1000")
    assert folder.completed("ds.json", "acc.yaml", "ta.yaml") == {
        "devices": 4, "per_device": 2, "gradient_accumulation": 8, "global_batch": 64, "precision": "bf16",
        "zero_stage": 1, "steps": 1000,
    }  # fmt: skip
    folder.write("ta.yaml", "per_device_train_batch_size: 3\nmax_steps: 1000")
    assert folder.error("ds.json", "acc.yaml", "ta.yaml") == (
        "ds.json:2 train_batch_size, ta.yaml:1 per_device_train_batch_size, acc.yaml:2 num_processes: global batch 64 "
        "cannot be built on 4 devices with 3 samples each: 4 × 3 × k = 12, 24, 36, … Try 60 (accumulate 5), or 72 "
        "(accumulate 6)."
    )


SECRET = "hf_secret"
NAMES = [
    *(key for kind in KINDS for key in (*kind.keys, *kind.mappings)), "stage", "enabled", "fsdp", "fsdp_config",
    "deepspeed",
    "gradient_accumulation_steps", "parallelism_config", "parallelism_config_tp_size", "autotp_size", "even_batches",
    "split_batches", "gradient_accumulation_kwargs", "num_steps", "fsdp_version", "fsdp_sharding_strategy",
    "zero_stage",
    "deepspeed_config_file", "megatron_lm_tp_degree", "data_sampling", "use_cpu", "mixed_precision", "warmup_num_steps",
]  # fmt: skip
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 64), st.integers(), st.floats(), st.text(max_size=5),
    st.sampled_from(["auto", "no", "FSDP", "DEEPSPEED", "MULTI_GPU", "MEGATRON_LM", "NO", "full_shard", "8", "x.json"]),
)  # fmt: skip
SECTIONS = st.recursive(
    VALUES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), inner, max_size=5)
    ),
    max_leaves=12,
)


def read_raw(path, raw):
    path.write_bytes(raw)
    try:
        found = complete(merge([read_settings(path)]))
    except InputError as error:
        str(error).encode()
    else:
        assert isinstance(found, LaunchSettings)
        json.dumps({name: str(stated.value) for name, stated in found.stated().items()}).encode()
        "".join([*found.notes, *map(str, found.ignored)]).encode()


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.dictionaries(st.sampled_from(NAMES), SECTIONS, min_size=1, max_size=6), as_json=st.booleans())
def test_any_settings_give_a_result_or_an_input_error(tmp_path_factory, data, as_json):
    text = json.dumps(data) if as_json else yaml.safe_dump(data, allow_unicode=True)
    read_raw(tmp_path_factory.getbasetemp() / "fuzz", text.encode("utf-8", "surrogatepass"))


@settings(max_examples=300)
@given(raw=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_give_a_result_or_an_input_error(tmp_path_factory, raw):
    read_raw(tmp_path_factory.getbasetemp() / "fuzz", raw)


@settings(max_examples=300)
@given(
    raw=st.text("{}[]:,\"'-?&*!|>%@`#\n\t\\ <a1e.+~", max_size=40).map(str.encode),
    start=st.sampled_from([b"", b"{", b"a: "]),
)
def test_any_punctuation_gives_a_result_or_an_input_error(tmp_path_factory, raw, start):
    read_raw(tmp_path_factory.getbasetemp() / "fuzz", start + raw)


@settings(max_examples=200)
@given(data=st.dictionaries(st.sampled_from(NAMES), VALUES, min_size=1, max_size=5), at=st.integers(0, 5))
def test_the_value_of_an_unknown_key_is_never_repeated(tmp_path_factory, data, at):
    path = tmp_path_factory.getbasetemp() / "fuzz"
    items = [*data.items()]
    items.insert(at, ("my_token", SECRET))
    path.write_text(json.dumps(dict(items)))
    try:
        said = repr(read_settings(path))
    except InputError as error:
        said = str(error)
    assert SECRET not in said


@pytest.mark.parametrize(
    ("keys", "tool"),
    [
        ({"train_batch_size": 8, "learning_rate": 1e-3, "hidden_size": 8}, None),
        ({"optimizer": {"type": "AdamW"}, "learning_rate": 1e-3}, None),
        ({"num_processes": 8, "learning_rate": 1e-3}, None),
        ({"train_batch_size": 8, "gradient_accumulation_steps": 2, "amp": {}}, "a DeepSpeed configuration"),
        ({"train_batch_size": 8, "optimizer": {"type": "Adam"}, "_comment": "x"}, "a DeepSpeed configuration"),
        ({"num_processes": 8, "machine_rank": 0}, "an Accelerate configuration"),
    ],
)
def test_one_key_that_many_tools_have_needs_another(folder, keys, tool):
    folder.write("x.json", keys)
    if tool is None:
        assert "none of the files that are read here" in folder.error("x.json")
    else:
        assert folder.read("x.json").tools == (tool,)
