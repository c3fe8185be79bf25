"""What `plan --like` must show, as a user asks for it: reports that people asked about, beside the truth."""

import json

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main


def ask(*arguments, code=0):
    result = CliRunner().invoke(main, ["plan", *map(str, arguments), "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout if code == 0 else result.stderr)


def flags(samples, per_device, accumulation=1, devices=1):
    return [
        "--corpus", f"{samples} samples", "--per-device", per_device, "--gradient-accumulation", accumulation,
        "--devices", devices,
    ]  # fmt: skip


def like(*arguments):
    """Reported, true and causes of one framework."""
    (found,) = ask(*arguments)["like"]
    return found["reported"], found["true"], {cause["rule"]: cause["message"] for cause in found["causes"]}


@pytest.mark.parametrize(
    ("version", "steps", "epoch", "samples"), [("4.44.2", 6, 2.4, 22), ("4.48.3", 6, 2, 18), ("5", 9, 3, 27)]
)
def test_nine_samples(version, steps, epoch, samples):
    # transformers issue 33455
    reported, true, causes = like(*flags(9, 2, 2), "--epochs", 3, "--like", f"hf=={version}")
    assert (reported["steps"], reported["epoch"], true["samples"]) == (steps, epoch, samples)
    assert ("floored-plan" in causes) == (version != "5")


@pytest.mark.parametrize(("devices", "epoch", "true_epochs"), [(1, 2.3333, 3), (2, 5.1667, 6), (4, 9.1, 10)])
def test_a_stream_has_no_epoch(devices, epoch, true_epochs):
    # transformers issue 41913, live in 5.23
    given = flags(100, 10, 1, devices)
    reported, true, causes = like(*given, "--steps", 30, "--like", "transformers-streaming")
    assert (round(reported["epoch"], 4), true["epochs"]) == (epoch, true_epochs)
    assert reported["num_epochs"] == 9_223_372_036_854_775_807
    assert next(iter(causes)) == "stream-epoch"


def test_windows_leak():
    reported, true, causes = like(*flags(100, 10, 4), "--steps", 30, "--like", "transformers-streaming==5")
    assert (round(reported["epoch"], 2), true["micro_steps"], true["epochs"]) == (14.07, 148, 14.8)
    assert "windows of 4, 4, 6, 4, 6, …" in causes["leaked-window"]


def test_an_epoch_of_accelerate():
    # accelerate issue 2316, and 101 samples on 4 devices with 8 each
    _, true, causes = like(*flags(101, 8, 1, 4), "--epochs", 1, "--like", "accelerate")
    assert (true["drawn"], round(true["epochs"], 4)) == (128, 1.2673)
    assert causes["even-batches"] == "27 duplicates a pass from even_batches (4 devices × 8)"
    _, true, _ = like(*flags(24, 1, 1, 5), "--epochs", 1, "--like", "accelerate")
    assert (true["drawn"], true["duplicates"]) == (25, 1)


def test_drop_last():
    reported, true, causes = like(*flags(100, 8), "--epochs", 3, "--uneven", "drop", "--like", "hf")
    assert (reported["epoch"], true["epochs"]) == (3, 2.88)
    assert list(causes) == ["drop-last"]


def test_a_schedule_that_is_over_early():
    # accelerate issue 2926
    reported, _, causes = like(*flags(800, 2, 1, 4), "--epochs", 1, "--like", "accelerate")
    assert (reported["steps"], reported["schedule_ends"]) == (100, 25)
    assert "over at step 25" in causes["scheduler-times-processes"]


def test_all_of_them_in_one_object():
    plan = ask(*flags(100, 10, 4, 2), "--epochs", 3, "--like", "all")
    assert {"steps", "epochs", "warnings", "moves", "from"} <= plan.keys()
    assert [found["framework"] for found in plan["like"]].count("transformers") == 3
    refused = ask(*flags(100, 10, 4, 2), "--epochs", "1/3", "--like", "all")["like"]
    assert {found["framework"] for found in refused if found["reported"] is None} == {
        "accelerate", "accelerate-streaming", "lightning", "distributed-sampler", "keras", "gpt-neox", "tensorflow1"
    }  # fmt: skip


def test_draws_with_replacement_have_no_passes_to_report():
    # SkyRL PR 1990: 1 − 1/e = 63.2 % of a corpus are seen after an epoch of draws; no loop over passes shows it
    plan = ask("--corpus", "1M samples", "--samples", "1M", "--global-batch", 100, "--replacement")
    assert 1 - plan["coverage"] == pytest.approx(0.368, abs=1e-3)
    error = ask(*flags(100, 10), "--steps", 3, "--replacement", "--like", "hf", code=2)
    assert "sampling with replacement" in error["errors"][0]["asked"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--corpus", "9 samples", "--per-device", 2, "--steps", 3], "--like needs --devices"),
        (["--corpus", "9 samples", "--global-batch", 2, "--devices", 1, "--steps", 3], "--like needs --per-device"),
        (["--per-device", 2, "--devices", 1, "--steps", 3], "--like needs --corpus"),
        ([*flags(9, 2), "--steps", 3, "--last-window", "carry"], "it can flush"),
        ([*flags(9, 2), "--steps", 3, "--uneven", "keep"], "it can pad or drop"),
        ([*flags(9, 2), "--steps", 3, "--sweep", "devices=1,2"], "leaving out --sweep"),
        (["configs/bert-base.yaml", "--devices", 8], "this plan has phases"),
    ],
)
def test_what_is_missing_is_named(arguments, message):
    for name in ("hf", "hf==5.1"):
        (error,) = ask(*arguments, "--like", name, code=2)["errors"]
        assert message in " ".join((error["asked"], error["rule"], *error["fixes"]))


def test_trainer_arguments_of_an_older_version(tmp_path):
    arguments = tmp_path / "args.json"
    arguments.write_text(
        '{"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "num_train_epochs": 3, "output_dir": "x"}'
    )
    reported, true, _ = like("--from", arguments, "--corpus", "9 samples", "--devices", 1, "--like", "hf==4.44")
    assert (reported["steps"], reported["epoch"], true["samples"]) == (6, 2.4, 22)


def test_a_corpus_in_tokens_is_an_estimate():
    given = ["--corpus", "10k tokens", "--sequence-length", 10, "--per-device", 8, "--devices", 1, "--epochs", 1]
    reported, true, _ = like(*given, "--like", "megatron")
    assert (reported["steps"], reported["epoch"], true["epochs"]) == (125, 2, 1)  # ⌊9,999 ÷ 10⌋ = 999 samples a round
