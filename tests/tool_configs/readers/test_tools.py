"""Each tool's files give the batch, the steps and the samples that the tool itself would make of them."""

import json
from fractions import Fraction
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dist_epochs.cli.main import main
from dist_epochs.errors import InputError, Origin
from dist_epochs.recipe.flags import apply_flags
from dist_epochs.settings.document import Document
from dist_epochs.settings.section import read_section
from dist_epochs.settings.value import Stated, plain_value
from dist_epochs.tool_configs.apply import apply_files
from dist_epochs.tool_configs.complete import complete
from dist_epochs.tool_configs.detect import TOOLS, read_settings
from dist_epochs.tool_configs.other_tools import TOOLS as NOT_READ
from dist_epochs.tool_configs.passes import Given
from dist_epochs.tool_configs.stated import LaunchSettings, merge

SAMPLES = Path(__file__).parents[1] / "samples"
PLACES = {
    "precision": ("precision",),
    "zero_stage": ("hardware", "zero_stage"),
    "activation_checkpointing": ("hardware", "activation_checkpointing"),
    "seed": ("seed",),
    "sequence_length": ("phases", 0, "sequence_length"),
    "ramp": ("batch", "ramp"),
}


def planned(name, *flags, sources=()):
    """What is planned from a sample file: numbers of the plan, and settings of the document."""
    flags = dict(flag.split("=", 1) for flag in flags)
    options = [option for key, value in flags.items() for option in (f"--{key}", value)]
    options += [option for source in sources for option in ("--source", source)]
    result = CliRunner().invoke(main, ["plan", "--from", str(SAMPLES / name), *options, "--json"])
    assert result.exit_code == 0, result.output
    plan = json.loads(result.stdout)
    document = Document("flags")
    apply_flags(document, {key.replace("-", "_"): value for key, value in flags.items()}, sources)
    notes = apply_files(document, [SAMPLES / name]).notes
    batch = plan["global_batch"]
    found = {
        "steps": plan["steps"],
        "samples": plan["samples"],
        "positions": plan["positions"],
        "global_batch": batch["samples"],
        "per_device": batch["per_device"],
        "gradient_accumulation": batch["gradient_accumulation"],
        "data_parallel_size": batch["data_parallel_size"],
        "corpus": document.get(("corpus", "samples")),
        **{key: document.get(place) for key, place in PLACES.items()},
    }
    return found, [note.replace(f"{SAMPLES}/", "") for note in notes]


EXPECTED = {
    "gpt-neox/like-20b/20B.yml": (
        ["devices=96"],
        {"global_batch": 1536, "data_parallel_size": 12, "per_device": 4, "gradient_accumulation": 32,
         "steps": 150_000, "samples": 230_400_000, "sequence_length": 2048, "zero_stage": 1},
    ),
    "gpt-neox/20b-like/20B.yml": (
        ["devices=96"],
        {"global_batch": 1536, "steps": 150_000, "precision": "fp16", "activation_checkpointing": True,
         "positions": 471_859_200_000},
    ),
    "gpt-neox/epochs/ft.yml": (
        ["devices=8", "corpus=100000 samples"],
        {"global_batch": 128, "steps": 2343, "precision": "bf16", "zero_stage": 2, "seed": 99},
    ),
    "litgpt/finetune/lora.yaml": (
        ["per-device=4", "devices=4", "epochs=1", "corpus=49847 samples"],
        {"global_batch": 64, "gradient_accumulation": 4, "steps": 779, "sequence_length": 512},
    ),
    "litgpt/finetune-uneven/lora.yaml": (
        ["corpus=1900 samples"],
        {"global_batch": 48, "per_device": 4, "gradient_accumulation": 4, "data_parallel_size": 3, "steps": 159,
         "precision": "bf16", "activation_checkpointing": True, "seed": 1337},
    ),
    "litgpt/pretrain/pretrain.yaml": (
        [],
        {"global_batch": 512, "per_device": 8, "gradient_accumulation": 8, "data_parallel_size": 8, "steps": 19_073,
         "samples": 9_765_376, "positions": 19_999_490_048, "zero_stage": 3, "seed": 42},
    ),
    "composer/batches/mpt.yaml": (
        ["per-device=16", "devices=8", "steps=4800", "sequence-length=2048"],
        {"global_batch": 256, "gradient_accumulation": 2, "steps": 4800, "samples": 1_228_800},
    ),
    "composer/pretrain-batches/mpt.yaml": (
        ["devices=8"],
        {"global_batch": 256, "per_device": 16, "gradient_accumulation": 2, "steps": 4800, "seed": 17,
         "positions": 2_516_582_400, "precision": "bf16", "zero_stage": 3},
    ),
    "composer/finetune-epochs/sft.yaml": (
        ["devices=8", "corpus=15011 samples"],
        {"global_batch": 64, "steps": 468, "sequence_length": 1024, "activation_checkpointing": True},
    ),
    "torchtune/one-component/recipe.yaml": (
        ["devices=8", "corpus=52000 samples"],
        {"global_batch": 128, "per_device": 2, "gradient_accumulation": 8, "steps": 3 * 406},
    ),
    "torchtune/full/8B_full.yaml": (
        ["devices=8", "corpus=9850 samples"],
        {"global_batch": 64, "steps": 462, "samples": 29_568, "precision": "bf16", "zero_stage": 3,
         "activation_checkpointing": True},
    ),
    "torchtune/packed-tp-cap/70B.yaml": (
        ["devices=8", "corpus=12000 samples"],
        {"global_batch": 32, "data_parallel_size": 4, "steps": 400, "samples": 12_800, "sequence_length": 8192,
         "positions": 104_857_600, "seed": 5},
    ),
    "axolotl/packed/pack.yaml": (
        ["devices=8", "corpus=10000 samples"],
        {"global_batch": 64, "per_device": 1, "gradient_accumulation": 8, "steps": 156, "precision": "bf16"},
    ),
    "axolotl/sft-lora/lora.yml": (
        ["devices=4", "corpus=20000 samples"],
        {"global_batch": 64, "corpus": "19600 samples", "steps": 919, "samples": 58_720, "seed": 17,
         "sequence_length": 2048, "activation_checkpointing": True},
    ),
    "axolotl/packed-cp/pack.yaml": (
        ["devices=8"],
        {"global_batch": 16, "data_parallel_size": 4, "steps": 1500, "samples": 24_000, "positions": 196_608_000,
         "zero_stage": 3},
    ),
    "trl/grpo-generations/grpo.yaml": (
        ["devices=7", "corpus=5498 samples"],
        {"global_batch": 224, "steps": 196, "samples": 196 * 28 * 8, "corpus": "43984 samples"},
    ),
    "trl/grpo/grpo.yaml": (
        ["devices=4", "corpus=7473 samples"],
        {"global_batch": 128, "steps": 467, "samples": 59_776, "precision": "bf16", "activation_checkpointing": True},
    ),
    "llama-factory/cut/sft.yaml": (
        ["devices=8", "corpus=52000 samples"],
        {"global_batch": 64, "corpus": "900 samples", "steps": 45},
    ),
    "llama-factory/streaming-packed/pt.yaml": (
        ["devices=4"],
        {"global_batch": 32, "gradient_accumulation": 8, "steps": 2000, "samples": 64_000, "positions": 262_144_000,
         "zero_stage": 3, "precision": "bf16"},
    ),
    "torchtitan/short/short.toml": (
        ["devices=16"],
        {"global_batch": 64, "per_device": 8, "gradient_accumulation": 1, "data_parallel_size": 8, "steps": 1000,
         "sequence_length": 2048},
    ),
    "torchtitan/toml-accumulate/train.toml": (
        [],
        {"global_batch": 1024, "per_device": 4, "gradient_accumulation": 8, "data_parallel_size": 32, "steps": 50_000,
         "samples": 51_200_000, "positions": 209_715_200_000, "precision": "bf16", "zero_stage": 2, "seed": 7},
    ),
    "torchtitan/toml-default-global/llama_big.toml": (
        ["devices=128"],
        {"global_batch": 32, "per_device": 2, "gradient_accumulation": 1, "data_parallel_size": 16, "steps": 3000,
         "positions": 786_432_000, "zero_stage": 3, "activation_checkpointing": True, "precision": "bf16"},
    ),
    "trl/sft-packed/sft.yaml": (
        ["corpus=30000 samples"],
        {"global_batch": 64, "per_device": 4, "gradient_accumulation": 2, "data_parallel_size": 8, "steps": 938,
         "sequence_length": 2048, "precision": "bf16", "activation_checkpointing": True},
    ),
    "nanogpt/whole/train_whole.py": (
        ["devices=8"],
        {"global_batch": 480, "per_device": 12, "gradient_accumulation": 5, "steps": 600_001,
         "sequence_length": 1024, "positions": 294_912_491_520},
    ),
    "nanogpt/short/train_short.py": (
        ["devices=1"],
        {"global_batch": 32, "per_device": 1, "gradient_accumulation": 32, "steps": 21, "positions": 688_128,
         "precision": "fp16"},
    ),
    "hf-args/trainer/train.sh": (
        ["corpus=10000 samples"],
        {"global_batch": 128, "per_device": 4, "gradient_accumulation": 8, "data_parallel_size": 4, "steps": 237},
    ),
    "hf-args/torchrun/train.sh": (
        ["corpus=52002 samples"],
        {"global_batch": 256, "data_parallel_size": 16, "steps": 612, "precision": "bf16", "zero_stage": 3},
    ),
    "hf-args/accelerate/run.sh": (
        [],
        {"global_batch": 64, "data_parallel_size": 4, "steps": 5000, "samples": 320_000, "positions": 327_680_000,
         "precision": "bf16", "seed": 13, "activation_checkpointing": True},
    ),
    "megatron-lm/arrays/pretrain.sh": (
        [],
        {"global_batch": 1536, "per_device": 1, "gradient_accumulation": 384, "data_parallel_size": 4,
         "steps": 100_000, "positions": 629_145_600_000, "precision": "bf16", "zero_stage": 1, "seed": 4321},
    ),
    "megatron-lm/samples-rampup/gpt.sh": (
        [],
        {"data_parallel_size": 32, "steps": 149_074, "samples": 146_484_000, "positions": 299_999_232_000,
         "precision": "fp16", "ramp": "32 32 1953125"},
    ),
    "deepspeed/stray-key/stray-key.json": (
        ["devices=10", "steps=10"],
        {"global_batch": 20_000, "per_device": 20, "gradient_accumulation": 100},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPECTED)
def test_the_plan_is_the_tool_s_own(name):
    flags, expected = EXPECTED[name]
    found, _ = planned(name, *flags)
    assert {key: found[key] for key in expected} == expected


NOTES = {
    "gpt-neox/20b-like/20B.yml": (["devices=96"], "warmup: a share: 0.01 of 150,000 steps are 1,500"),
    "litgpt/finetune-uneven/lora.yaml": (["corpus=1900 samples"], "rounded down twice: ⌊50 ÷ 3⌋ = 16, ⌊16 ÷ 4⌋ = 4"),
    "composer/finetune-epochs/sft.yaml": (["devices=8", "corpus=15011 samples"], "device_train_microbatch_size: auto"),
    "torchtune/packed-tp-cap/70B.yaml": (["devices=8", "corpus=12000 samples"], "max_steps_per_epoch keeps 200"),
    "axolotl/sft-lora/lora.yml": (["devices=4", "corpus=20000 samples"], "⌈19,600 × 3 ÷ 64⌉ = 919 steps"),
    "axolotl/packed-cp/pack.yaml": (["devices=8"], "num_epochs: not used: the 1,500 steps"),
    "trl/grpo-generations/grpo.yaml": (["devices=7", "corpus=5498 samples"], "224 a step are 28 prompts × 8"),
    "llama-factory/cut/sft.yaml": (["devices=8", "corpus=52000 samples"], "holds 100 of 1,000 rows out: 900"),
    "deepspeed/stray-key/stray-key.json": (["devices=10", "steps=10"], "max_grad_norm: not read: it is a key of"),
}  # fmt: skip


@pytest.mark.parametrize("name", NOTES)
def test_what_a_reader_must_know_is_noted(name):
    flags, note = NOTES[name]
    assert any(note in line for line in planned(name, *flags)[1])


def test_data_sets_are_cut_one_by_one():
    sizes = ["tickets_en:52000 samples", "glossary:1500 samples"]
    found, _ = planned("llama-factory/max-samples/sft.yaml", "devices=8", sources=sizes)
    assert (found["corpus"], found["steps"], found["global_batch"]) == ("4050 samples", 192, 64)
    one = ["plan", "--from", str(SAMPLES / "llama-factory/max-samples/sft.yaml"), "--devices", "8"]
    result = CliRunner().invoke(main, [*one, "--corpus", "53500 samples"])
    assert result.exit_code == 2
    assert "max_samples cuts each of 2 data sets" in result.stderr
    assert CliRunner().invoke(main, [*one, "--corpus", "53500 samples", "--steps", "5"]).exit_code == 0


FILES = sorted(
    path for path in SAMPLES.glob("*/*/*") if path.name != "expected.json" and path.suffix not in (".sh", ".py")
)
REFUSED = {"levanter", "megatron-bridge-nemo", "nanotron", "olmo", "olmo-core"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SAMPLES)))
def test_no_sample_is_of_two_tools(path):
    values = plain_value(read_section(path).values)
    found = [tool.name for tool in (*TOOLS, *NOT_READ) if tool.is_its(values)]
    assert len(found) == (0 if path.name in ("ds.json", "stray-key.json") else 1)
    if found:
        assert (path.parts[-3] in REFUSED) == (found[0] in {tool.name for tool in NOT_READ})


def test_flags_contradict_a_file_by_name(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_bytes((SAMPLES / "torchtune/full/8B_full.yaml").read_bytes())
    result = CliRunner().invoke(
        main, ["plan", "--from", str(path), "--devices", "8", "--per-device", "3", "--corpus", "9850 samples"]
    )
    assert result.exit_code == 2
    assert "8B_full" not in result.stderr
    assert "batch_size, and 3 in --per-device" in result.stderr.replace("\n", " ")


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 100), st.floats(allow_nan=False), st.text(max_size=4),
    st.sampled_from(["auto", "8", "bf16", "2ep", "1e9tok", "${a}", "0.1", "no", "1:4"]), st.just({}), st.just([1]),
)  # fmt: skip


def changed(values, choose):
    """Keys and values with some of the values replaced."""
    return {
        key: changed(value, choose) if isinstance(value, dict) and choose(st.booleans()) else
        (choose(VALUES) if choose(st.integers(0, 4)) == 0 else value)
        for key, value in values.items()
    }  # fmt: skip


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(
    path=st.sampled_from(FILES), devices=st.none() | st.integers(1, 64), samples=st.none() | st.integers(1, 10**5),
    data=st.data(),
)  # fmt: skip
def test_any_values_give_a_result_or_an_input_error(tmp_path_factory, path, devices, samples, data):
    def simple(value):
        return float(value) if isinstance(value, Fraction) else str(value)

    values = json.loads(json.dumps(plain_value(read_section(path).values), default=simple))
    made = tmp_path_factory.getbasetemp() / "changed"
    made.write_text(json.dumps(changed(values, data.draw)), encoding="utf-8")
    batch = LaunchSettings(devices=None if devices is None else Stated(devices, Origin("--devices")))
    try:
        found = read_settings(made, Given(batch=batch, samples=samples))
        complete(merge([found, batch]), accumulates_once=False)
    except InputError as error:
        str(error).encode()
    else:
        "".join(found.notes).encode()
