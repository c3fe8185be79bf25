from types import SimpleNamespace

import pytest
import torch
from accelerate.state import AcceleratorState
from click.testing import CliRunner

from dist_epochs.ledger.reconcile import read_run
from dist_epochs.recipe import HardwareRecipe, read_recipe
from dist_epochs.tool_configs.launch.command import processes_command
from dist_epochs.train.__main__ import main
from dist_epochs.train.launch import LaunchError, check_environment, check_launch
from dist_epochs.train.launch_sharding import check_sharding


@pytest.fixture(autouse=True)
def _fresh_accelerate():
    """Accelerate keeps its state in the process; every run here begins without one."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def accelerator(processes=2):
    return SimpleNamespace(num_processes=processes, device=torch.device("cpu"))


def test_accumulation_from_outside_is_refused():
    check_environment({"ACCELERATE_MIXED_PRECISION": "bf16"}, precision="bf16")
    check_environment({"ACCELERATE_MIXED_PRECISION": "no"}, precision="bf16")
    with pytest.raises(LaunchError, match="ACCELERATE_GRADIENT_ACCUMULATION_STEPS=4 is set"):
        check_environment({"ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4"}, precision="fp32")


def test_another_precision_from_outside_is_refused():
    with pytest.raises(LaunchError, match="asks for mixed precision fp16, and the recipe for fp32"):
        check_environment({"ACCELERATE_MIXED_PRECISION": "fp16"}, precision="fp32")


def test_what_was_asked_for_is_there():
    check_launch(accelerator(), planned=2, environment={"WORLD_SIZE": "2"})
    check_launch(accelerator(1), planned=None, environment={})


@pytest.mark.parametrize(
    ("found", "planned", "environment", "part"),
    [
        (accelerator(1), 2, {"WORLD_SIZE": "2"}, "each of them is alone"),
        (accelerator(1), 2, {}, "the recipe plans 2 devices and this launch has 1"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_said_with_the_command_that_works(found, planned, environment, part):
    with pytest.raises(LaunchError) as caught:
        check_launch(found, planned=planned, environment=environment)
    assert part in str(caught.value)
    if planned:
        assert processes_command(2, on_cpu=True) in caught.value.fixes


def test_compiling_from_outside_is_refused():
    check_environment({"ACCELERATE_DYNAMO_BACKEND": "NO"}, precision="bf16")
    with pytest.raises(LaunchError, match="asks to compile the model with INDUCTOR"):
        check_environment({"ACCELERATE_DYNAMO_BACKEND": "INDUCTOR"}, precision="fp32")


FSDP2 = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_RESHARD_AFTER_FORWARD": "true"}
MESH = {"ACCELERATE_USE_PARALLELISM_CONFIG": "true"}
HYBRID = MESH | {"PARALLELISM_CONFIG_DP_REPLICATE_SIZE": "2", "PARALLELISM_CONFIG_DP_SHARD_SIZE": "4"}


@pytest.mark.parametrize(
    ("environment", "planned", "part"),
    [
        (FSDP2, {"zero_stage": 3}, None),
        (FSDP2 | HYBRID, {"zero_stage": 3, "shard_size": 4}, None),
        ({}, {"zero_stage": 3}, None),
        ({}, None, None),
        (FSDP2, {}, "asks for FSDP, and the recipe does not plan it"),
        (FSDP2, None, "asks for FSDP, and the recipe does not plan it"),
        (FSDP2 | {"FSDP_VERSION": "1"}, {"zero_stage": 3}, "asks for FSDP version 1"),
        ({"ACCELERATE_USE_FSDP": "true"}, {"zero_stage": 3}, "asks for FSDP version 1"),
        (FSDP2 | {"FSDP_RESHARD_AFTER_FORWARD": "false"}, {"zero_stage": 3}, "keep gathered weights"),
        (FSDP2 | {"FSDP_OFFLOAD_PARAMS": "true"}, {"zero_stage": 3}, "fsdp_offload_params"),
        (FSDP2 | {"FSDP_ACTIVATION_CHECKPOINTING": "true"}, {"zero_stage": 3}, "activation checkpointing"),
        (FSDP2 | HYBRID, {"zero_stage": 3}, "2 copies of the model, each on 4 devices"),
        (FSDP2 | HYBRID, {"zero_stage": 3, "shard_size": 2}, "2 copies of the model, each on 4 devices"),
        (MESH | {"PARALLELISM_CONFIG_TP_SIZE": "2"}, {}, "tensor parallelism of 2 ranks"),
        (MESH | {"PARALLELISM_CONFIG_CP_SIZE": "4"}, {}, "context parallelism of 4 ranks"),
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, {}, "DeepSpeed"),
    ],
)
def test_a_launch_that_shards_otherwise_than_the_recipe(environment, planned, part):
    hardware = None if planned is None else HardwareRecipe(**planned)
    if part is None:
        check_sharding(environment, hardware)
        return
    with pytest.raises(LaunchError) as caught:
        check_sharding(environment, hardware)
    assert part in caught.value.asked
    assert caught.value.fixes


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        (["seed=a"], "seed: the seed"),
        (["model=null"], "model missing\n  a recipe without them can be planned, not trained"),
        (["precision=fp16"], "fp16 needs a GPU"),
        (["phases.0.sequence_length=128"], "sequence length 128 is beyond the model's 32 positions"),
        (["model.config.vocab_size=2000"], "the tokenizer has 2,048 ids and model.config.vocab_size is 2,000"),
        (["model.config.hiden_size=64"], "bert has no setting 'hiden_size'\n  try hidden_size"),
        (["model.config.hidden_size=wide"], "error: model"),
        (["optimizer.betas=[0.9, 1.5]"], "optimizer.betas.1: it must be at least 0 and below 1, not 1.5"),
        (["seed=-1"], "seed: the seed "),
        (
            ["batch.global_batch=12x16"],
            "'12x16' is a product\n  the length is the phase's\n  try the number of samples",
        ),
        (["phases.0.steps=9999999999999"], "passes over"),
        (["model.config.model_type=brt"], "not a configuration transformers can use"),
        (
            ["batch.global_batch=64", "batch.devices=6", "batch.per_device=4"],
            "the recipe plans 6 devices and this launch has 1",
        ),
        (["phases.0.sequence_length=24"], "not packed at length 24"),
        (["corpus={tokens: 1M}"], "recipe.yaml: corpus.store is not set"),
        (["corpus.store=nowhere"], "not a token store: there is no such folder"),
    ],
    ids=str,
)  # fmt: skip
def test_bad_input_is_said_before_anything_is_written(tmp_path, store, write_recipe, settings, part):
    overrides = [word for setting in settings for word in ("--set", setting)]
    result = CliRunner().invoke(main, [str(write_recipe(store.path)), "--out", str(tmp_path / "run"), *overrides])
    assert result.exit_code == 2, result.output
    assert part in result.stderr
    assert not (tmp_path / "run").exists()


def test_evaluation_needs_held_out_documents(tmp_path, mixed_store, write_recipe):
    corpus = {"store": str(mixed_store.path), "weights": {"web": 1}}
    recipe = write_recipe(mixed_store.path, corpus=corpus, evaluation={"every": 5})
    result = CliRunner().invoke(main, [str(recipe), "--out", str(tmp_path / "run")])
    assert result.exit_code == 2
    assert "holds no held-out documents" in result.stderr


def test_a_directory_that_is_not_empty_is_left_alone(tmp_path, store, write_recipe):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").write_text("keep")
    result = CliRunner().invoke(main, [str(write_recipe(store.path)), "--out", str(tmp_path / "run")])
    assert result.exit_code == 2
    assert "not empty" in result.stderr
    assert [entry.name for entry in (tmp_path / "run").iterdir()] == ["mine"]


def test_a_loss_that_is_not_finite_ends_the_run_and_the_ledger_says_so(tmp_path, store, write_recipe):
    recipe = write_recipe(store.path, optimizer={"learning_rate": "1e30", "max_grad_norm": None, "decay": "constant"})
    result = CliRunner().invoke(main, [str(recipe), "--out", str(tmp_path / "run")])
    assert result.exit_code == 1, result.output
    assert "the loss is nan at step" in result.stderr
    assert read_run(tmp_path / "run").totals.segments[0].status == "failed"


def test_a_run_in_one_process(tmp_path, store, write_recipe):
    result = CliRunner().invoke(main, [str(write_recipe(store.path)), "--out", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    assert read_run(tmp_path / "run").agrees
    assert {entry.name for entry in (tmp_path / "run").iterdir()} == {
        "recipe.yaml",
        "model.json",
        "plan.json",
        "ledger.jsonl",
        "checkpoints",
        "model",
    }
    assert read_recipe(tmp_path / "run" / "recipe.yaml").corpus.store == str(store.path)
