"""`dist-epochs plan` and `explain` as a user calls them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main

CONFIGS = Path(__file__).parent.parent.parent / "configs"
BERT = CONFIGS / "bert-base.yaml"


def call(*arguments, code=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def test_bert_on_eight_devices_reads_like_this():
    shown = call("plan", BERT, "--devices", "8xH100").stdout
    assert all(len(line) <= 80 for line in shown.splitlines())
    text = " ".join(shown.split())
    for line in (
        "BERT-base, masked LM 3.3B words × 1.25 tokens/word = 4.125B tokens",
        "256 = 8 devices × 8 per device × 4 accumulation",
        "1,000,000 = 900,000 at length 128 + 100,000 at length 512",
        "42.6B = 256 × (900,000 × 128 + 100,000 × 512)",
        "10.33 = 42.6B ÷ 4.125B (7.149 at 128, 3.178 at 512)",
        "2.9e+19 FLOPs 667.9M and 710.4M per position",
        "2.26–3.39 h at 45% to 30% of 989.4 TFLOP/s in bf16, a guess; 18.1–27.1 device-hours",
        "length 512 throughout 31.78 epochs sequence-phases",
        "one token per word 12.91 epochs words-as-tokens",
    ):
        assert line in text
    assert call("plan", BERT, "--devices", "8xH100").stderr == ""


def test_somebody_else_s_loop_shows_its_passes():
    text = call("plan", "--corpus", "148 samples", "--per-device", 2, "--gradient-accumulation", 6, "--steps", 200,
                "--last-window", "drop").stdout  # fmt: skip
    assert "micro-steps a pass       74  = 148 samples ÷ (1 × 2)" in text
    assert "steps a pass             12  = 74 ÷ 6, drop the last window" in text
    assert "drawn                 2,464  = 16.6486 passes of 148" in text
    assert "last window: flush" in text


def test_recipes_side_by_side():
    text = call("plan", BERT, CONFIGS / "gpt2-small.yaml").stdout
    assert "BERT-base  GPT-2 small" in text
    assert "10.33        32.64" in text
    plans = json.loads(call("plan", BERT, CONFIGS / "gpt2-small.yaml", "--json").stdout)["plans"]
    assert [plan["name"] for plan in plans] == ["BERT-base", "GPT-2 small"]
    assert "one recipe" in call("plan", BERT, BERT, "--sweep", "devices=1,2", code=2).stderr


SWEEP = ["--per-device", 32, "--sequence-length", 512, "--corpus", "4.29B tokens"]


def test_a_sweep_keeps_steps_and_tokens():
    text = call("plan", "--steps", "1M", *SWEEP, "--sweep", "devices=1,2,4,8").stdout
    assert "at the same steps" in text
    assert "at the same tokens" in text
    assert "3.819      7.638      15.28      30.55" in text


def test_a_sweep_of_what_does_not_change_the_batch_is_one_table():
    text = call("plan", BERT, "--devices", "8xH100", "--sweep", "devices=4,7,8").stdout
    assert text.startswith("the same steps and the same tokens")
    assert "devices 7: global batch 256 cannot be built on 7 devices" in text


def test_a_sweep_over_a_setting_of_the_recipe():
    found = json.loads(call("plan", BERT, "--sweep", "corpus.tokens_per_word=1,1.25", "--json").stdout)
    epochs = [round(entry["plan"]["epochs"]["positions"], 2) for entry in found["fixed_steps"]]
    assert (found["values"], epochs) == (["1", "1.25"], [12.91, 10.33])


@pytest.mark.parametrize(
    ("sweep", "message"),
    [("devices", "not of the form KEY=V1,V2"), ("steps=1,2", "what a sweep keeps"), ("batch.devcies=1,2",
     "did you mean 'devices'"),
     ("phases.7.steps=1", "phases.7"), ("sequence_length=128,512", "2 phases with lengths of their own")],
)  # fmt: skip
def test_sweeps_that_cannot_be(sweep, message):
    assert message in call("plan", BERT, "--sweep", sweep, code=2).stderr


def test_a_sweep_keeps_what_the_recipe_says():
    found = json.loads(
        call("plan", CONFIGS / "gpt2-small.yaml", "--sweep", "sequence_length=512,1024", "--json").stdout
    )
    assert [entry["plan"]["steps"] for entry in found["fixed_tokens"]] == [1_200_000, 600_000]
    named = json.loads(call("plan", BERT, "--devices", 8, "--model", "gpt2", "--set",
        "phases=[{steps: 10, sequence_length: 512}]",
                            "--set", "budget=null", "--sweep", "devices=7,8xH100,16xL4", "--json").stdout)  # fmt: skip
    assert [entry["error"] is None for entry in named["fixed_steps"]] == [False, True, True]
    assert named["fixed_steps"][2]["plan"]["cost"]["device"] == "L4"
    assert (
        "one setting is changed"
        in call("plan", BERT, "--sweep", "devices=1,2", "--sweep", "batch.per_device=1,2", code=2).stderr
    )


def test_a_sweep_tells_its_warnings():
    text = call("plan", CONFIGS / "llama-7b.yaml", "--sweep", "zero_stage=0,3").stdout
    assert "zero_stage 0: warning memory-too-small" in text
    assert "zero_stage 3: warning" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "try a recipe, such as dist-epochs plan bert-base"),
        (["--steps", 10], "what a step draws is not stated"),
        (["--money", 100, "--batch", "8x16", "--devices", "8xH100", "--parameters", "1B"], "try --price"),
        (["--steps", 10, "--batch", "8x16", "--devices", "8x4090"], "as in 8xRTX4090"),
        (["--batch", "8x16", "--steps", "500 steps per epoch"], "try multiplying it by the epochs"),
        (
            ["--batch", "8x16", "--tokens", "4M tokens per step"],
            "try --batch or batch.global_batch for what one step draws",
        ),
        (["--epochs", 3, "--batch", "8x16"], "none is stated"),
        ([BERT, "--set", "devices=8"], "did you mean 'batch.devices'?"),
        (["--batch", "8x16", "--steps", 1, "--corpus", "3B tokens", "--tokens-per-word", 2], "not counted in words"),
    ],
)
def test_errors_that_name_the_fix(arguments, message):
    assert message in call("plan", *arguments, code=2).stderr


def test_a_device_s_name_may_be_run_together():
    plan = call("plan", BERT, "--devices", "8xRTX4090", "--json")
    cost = json.loads(plan.stdout)["cost"]
    assert (cost["device"], json.loads(plan.stdout)["global_batch"]["data_parallel_size"]) == ("RTX 4090", 8)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("ds.json", '{"train_batch_size": 8, "zero_optimization": {"stage": 2}}', "a DeepSpeed configuration"),
        ("t.toml", "[training]\nsteps = 10\nseq_len = 128\n", "a configuration of torchtitan"),
        ("job.sh", "#!/bin/sh\ntorchrun --nproc_per_node 8 train.py --max_steps 5\n", "a launch script"),
    ],
)
def test_another_tool_s_file_is_no_recipe(tmp_path, name, content, what):
    (tmp_path / name).write_text(content)
    wrong = call("plan", tmp_path / name, code=2).stderr
    assert wrong.splitlines() == [
        f"error: {tmp_path / name}: this is {what}, and no recipe",
        f"  try dist-epochs plan --from {tmp_path / name}",
    ]


def test_a_model_s_configuration_is_no_recipe(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    assert f"try --model {tmp_path}/config.json" in call("plan", tmp_path / "config.json", code=2).stderr


def test_words_of_sources_take_the_ratio():
    plan = call("plan", "--source", "a:12M words:50%", "--source", "b:5M words:50%", "--tokens-per-word", "1.25",
        "--tokens", "10M",
                "--batch", "8x16", "--json")  # fmt: skip
    assert json.loads(plan.stdout)["corpus"]["tokens"] == 17_000_000 * 1.25


def test_a_cap_of_the_recipe_stays_when_its_corpus_is_replaced(tmp_path):
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "corpus: {tokens: 1B, max_epochs: 4}\nbatch: {global_batch: 8}\nphases: [{steps: 10k, sequence_length: 4096}]\n"
    )
    found = json.loads(call("plan", recipe, "--corpus", "11M tokens", "--json").stdout)
    assert found["name"] == "r"
    assert "over-the-cap" in [warning["rule"] for warning in found["warnings"]]


def test_a_measured_speed_holds_for_one_setting():
    error = call("plan", BERT, "--devices", 8, "--tokens-per-second", "1M", "--sweep", "devices=8,16", code=2).stderr
    assert "was measured for one setting" in error


def test_strict_fails_on_warnings_and_not_on_notes():
    quiet = ["plan", "--corpus", "1B tokens", "--batch", "256x512", "--steps", 100]
    assert "note not-counted" in call(*quiet, "--strict").stdout
    words = [*quiet[:2], "1B words", *quiet[3:], "--tokens-per-word", 1]
    assert json.loads(call(*words, "--strict", "--json", code=1).stdout)["steps"] == 100
    call(*words)


def test_explain():
    text = call("explain", "sparse-peak").stdout
    assert "1,979" in text
    assert json.loads(call("explain", "sparse-peak", "--json").stdout) == {"topic": "sparse-peak", "text": text.strip()}
    assert "\n  try sparse-peak\n" in call("explain", "sparse-peek", code=2).stderr
    assert "words-as-tokens  " in call("explain").stdout
    assert "words-as-tokens" in json.loads(call("explain", "--json").stdout)["topics"]


def test_exact_costs_agree_with_the_closed_form():
    flags = ["plan", "--steps", 10, "--batch", "8x128", "--model", "bert-base", "--json"]
    closed, exact = (json.loads(call(*flags, *more).stdout)["cost"] for more in ([], ["--exact"]))
    assert exact == closed
    assert "try --model" in call("plan", "--steps", 10, "--batch", "8x128", "--exact", code=2).stderr


def test_a_config_json_from_a_file(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "gpt2", "n_layer": 2, "torch_dtype": "float32"}')
    for path in (tmp_path, tmp_path / "config.json"):
        cost = json.loads(call("plan", "--steps", 1, "--batch", "8x128", "--model", path, "--json").stdout)["cost"]
        assert cost["parameters"] == 124_439_808 - 10 * (12 * 768**2 + 13 * 768)
    (tmp_path / "config.json").write_text('{"model_type": ')
    assert "config.json:1: not a transformers config.json" in call(
        "plan", "--steps", 1, "--batch", "8x128", "--model", tmp_path, code=2).stderr  # fmt: skip


def test_a_store_planned_from_flags(store):
    plan = json.loads(call("plan", "--corpus", store.path, "--epochs", 2, "--batch", "12x16", "--json").stdout)
    assert plan["epochs"]["samples"] == 2
    assert plan["samples"] == 2 * store.facts().sources[0].samples[16]
    loop = [
        "plan",
        "--corpus",
        store.path,
        "--epochs",
        2,
        "--per-device",
        4,
        "--devices",
        3,
        "--sequence-length",
        16,
        "--json",
    ]
    padded = json.loads(call(*loop, "--uneven", "pad").stdout)
    assert padded["drawn"]["samples_per_pass"] == -(-store.facts().sources[0].samples[16] // 12) * 12


def test_sweeps_of_flags_that_are_no_single_setting():
    found = json.loads(call("plan", "--corpus", "3B words", "--tokens-per-word", 1, "--steps", 10, "--batch", "8x16",
        "--sweep",
                            "batch=8x16,16x16", "--json").stdout)  # fmt: skip
    assert [entry["plan"]["samples"] for entry in found["fixed_steps"]] == [80, 160]
    ratios = json.loads(call("plan", BERT, "--sweep", "tokens-per-word=1,1.25", "--json").stdout)["fixed_steps"]
    assert [round(entry["plan"]["epochs"]["positions"], 2) for entry in ratios] == [12.91, 10.33]


def test_a_sweep_without_a_plan_is_an_error():
    assert "no value can be planned" in call("plan", BERT, "--devices", 8, "--sweep", "devices=7,9", code=2).stderr


def test_gpus_are_devices():
    assert (
        json.loads(call("plan", "--steps", 10, "--batch", "64x16", "--gpus", 8, "--json").stdout)["global_batch"][
            "devices"
        ]
        == 8
    )


LAUNCH = CONFIGS.parent / "launch"
SLIP = "distributed_type: MULTI_CPU\nnum_processes: 2\nuse_cpu: true\n"


def test_a_launch_that_works(tmp_path):
    text = call("plan", BERT, "--launch", LAUNCH / "eight-gpus.yaml").stdout
    assert "256  = 8 devices × 8 per device × 4 accumulation" in text
    assert "Launch of 8 processes on 1 machine, data-parallel size 8: " in text
    assert "finding" not in text
    assert text.endswith(f"-m dist_epochs.train {BERT} --out RUN\n")
    cpus = call("plan", BERT, "--launch", LAUNCH / "two-cpu-processes.yaml").stdout
    assert "note cpu-by-environment: " in cpus
    assert "\n  ACCELERATE_USE_CPU=true accelerate launch" in cpus
    assert "finding" not in cpus


def test_a_launch_that_goes_wrong(tmp_path):
    file = tmp_path / "acc.yaml"
    file.write_text(SLIP)
    text = call("plan", BERT, "--launch", file, code=1).stdout
    assert f"finding one-process: {file}:1: distributed_type: MULTI_CPU starts 1 process, not the 2" in text
    assert "\nOnce that is settled, launch with\n  ACCELERATE_USE_CPU=true" in text
    found = json.loads(call("plan", BERT, "--launch", file, "--json", code=1).stdout)
    assert found["steps"] == 1_000_000
    launch = found["launch"]
    assert {name: launch[name] for name in ("file", "processes", "machines", "data_parallel_size")} == {
        "file": str(file), "processes": 2, "machines": 1, "data_parallel_size": 2,
    }  # fmt: skip
    assert launch["command"].startswith("ACCELERATE_USE_CPU=true accelerate launch --config_file ")
    first = launch["findings"][0]
    assert list(first) == ["rule", "where", "message", "fix", "note"]
    assert (first["rule"], first["where"], first["note"]) == ("one-process", f"{file}:1", False)


def test_a_launch_of_several_machines_and_of_flags(tmp_path):
    file = tmp_path / "acc.yaml"
    file.write_text("distributed_type: MULTI_GPU\nnum_processes: 16\nnum_machines: 2\nmain_process_ip: 10.0.0.1\n")
    text = call("plan", "--batch", "64x128", "--per-device", 4, "--steps", 9, "--launch", file).stdout
    assert "Launch on each of 2 machines, with its own --machine_rank\n" in text
    assert "--machine_rank 0 -m dist_epochs.train RECIPE --out RUN" in text


def test_mpirun_is_launched_once(tmp_path):
    file = tmp_path / "acc.yaml"
    file.write_text(
        "distributed_type: MULTI_CPU\nnum_machines: 4\nnum_processes: 4\nuse_cpu: true\nmain_process_ip: 10.0.0.1\n"
        "main_process_port: 29500\nmpirun_config: {mpirun_hostfile: hosts}\n"
    )
    text = call("plan", "--batch", "64x128", "--per-device", 4, "--steps", 9, "--launch", file).stdout
    assert "\nLaunch once, on the first of 4 machines, with\n  ACCELERATE_USE_CPU=true accelerate launch" in text
    assert "--machine_rank" not in text


def test_launches_that_cannot_be_checked(tmp_path):
    assert "no such file" in call("plan", BERT, "--launch", tmp_path / "none.yaml", code=2).stderr
    file = LAUNCH / "eight-gpus.yaml"
    assert "checks one recipe" in call("plan", BERT, BERT, "--launch", file, code=2).stderr
    assert "checks one recipe" in call("plan", BERT, "--launch", file, "--sweep", "devices=1,2", code=2).stderr


def test_what_goes_wrong_at_a_launch_has_pages():
    assert "The launcher starts one process" in call("explain", "one-process").stdout
    assert "two-cpu-processes.yaml" in call("explain", "one process").stdout
    assert "\n  try one-process\n" in call("explain", "one-proces", code=2).stderr
    assert "fsdp-on-cpu" in call("explain").stdout


MEASURED = ["plan", "--steps", 1000, "--per-device", 1, "--sequence-length", 2048, "--devices", "8xH100",
            "--parameters", "6.7B", "--tokens-per-second"]  # fmt: skip


def test_a_measured_speed_above_the_peak():
    found = json.loads(call(*MEASURED, 768_000, "--strict", "--json", code=2).stderr)["errors"]
    assert found[0]["asked"] == "768,000 tokens a second on 8 H100 SXM are 390 % of their dense peak"
    assert all(found[0][part] for part in ("rule", "consequence", "fixes"))


def test_a_measured_speed_of_one_device():
    text = call(*MEASURED, 9_600, "--strict", code=1).stdout
    assert "utilization           4.88 %  = 40.2B FLOPs × 9,600 ÷ (8 × 989.4 TFLOP/s)" in text
    assert "warning rate-of-one-device: " in text
    assert "over all devices together" in call("explain", "rate-of-one-device").stdout


def test_a_kind_of_device_that_is_sold_in_several_sizes():
    priced = ["plan", "--steps", 10, "--batch", "64x2048", "--precision", "bf16", "--price", 2]
    several, one = (
        json.loads(call(*priced, "--devices", kind, "--parameters", "7B", "--json").stdout)["cost"]
        for kind in ("8xA100", "8xA100-80GB")
    )
    assert several.pop("device") == "A100"
    assert one.pop("device") == "A100 SXM 80GB"
    assert (several.pop("watts_per_device"), several.pop("energy_kwh")) == (None, None)  # 250 to 400 W
    assert one.pop("watts_per_device") == 400
    assert one.pop("energy_kwh") == pytest.approx(0.4 * one["device_hours"])
    del one["ranges"]["energy_kwh"]
    assert several == one
    error = call(*priced, "--devices", "8xA100", "--parameters", "3B", code=2).stderr
    assert "differ in memory" in error
    assert "try --devices with its whole name, A100 PCIe 80GB" in error


def test_a_source_that_is_all_of_a_mixture():
    found = call("plan", "--steps", 10, "--batch", "64x2048", "--source", "web:20B tokens:100%", "--json").stdout
    assert json.loads(found)["sources"][0]["share"] == 1
