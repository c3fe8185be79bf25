"""Records of real runs, or lines in their formats, each with the right answer."""

import json
import re
import shutil

import pytest

from dist_epochs.audit.readers import trainer_state
from dist_epochs.audit.records import record

LINE = (
    " iteration {0:8d}/  311541 | consumed samples: {1:12d} | elapsed time per iteration (ms): 1000.0 | "
    "global batch size: {2:5d} | lm loss: 2.0E+00 | number of skipped iterations:   0 |\n"
)


def derived(found, name):
    return found["by_name"][name]["derived"]


def test_deepspeed_s_world_size_is_a_data_parallel_size(ask, logs):
    found = ask(logs / "megatron_with_deepspeed_dump.log", "--devices", "64")
    assert found["verdict"] == "consistent"
    assert (found["read"]["devices"]["value"], found["read"]["data_parallel_size"]["value"]) == ("64", "1")
    assert derived(found, "gradient_accumulation") == "256"
    assert found["notes"] == ["It stopped at step 2 of 1,000, or its files end before it did."]


def test_deepspeed_s_arguments_alone_make_no_start(ask, tmp_path):
    dump = "".join(
        f"[2024-01-01] [INFO] [config.py:1003:print]   {name}  {dots} {value}\n"
        for name, dots, value in (
            ("train_batch_size", "....", 64), ("train_micro_batch_size_per_gpu", "", 4), ("world_size", "......", 8)
        )
    )  # fmt: skip
    path = tmp_path / "a.log"
    path.write_text(LINE.format(1, 64, 64) + dump + LINE.format(2, 128, 64))
    found = ask(path, "--gradient-accumulation", "2", "--devices", "8")
    assert (found["verdict"], found["kind"], len(found["segments"])) == ("consistent", "megatron", 1)
    assert found["read"]["per_device"]["value"] == "4"


@pytest.mark.parametrize("claims", [(), ("--global-batch", "1024"), ("--samples", "153013584")])
def test_one_line_of_a_ramp_contradicts_nothing(ask, logs, claims):
    found = ask(logs / "one_line_of_a_ramp.log", *claims)
    assert found["verdict"] == ("consistent" if claims else "underdetermined")
    assert any("other batches came before it, such as a ramp" in note for note in found["notes"])


def test_one_line_without_its_batch(ask, tmp_path):
    path = tmp_path / "a.log"
    path.write_text(re.sub(r"global batch size: +\d+ \| ", "", LINE.format(168_000, 153_013_584, 0)))
    assert ask(path, "--global-batch", "1024")["verdict"] == "underdetermined"
    path.write_text(LINE.format(100, 3200, 64))
    assert ask(path)["verdict"] == "underdetermined"
    path.write_text(LINE.format(1, 32, 64))
    assert ask(path, code=1)["verdict"] == "inconsistent", "before the first step nothing ramped"


def test_a_line_cut_before_its_batch_adds_no_time(ask, logs, tmp_path):
    found = ask(logs / "line_cut_before_its_batch.log")
    assert (found["verdict"], derived(found, "samples_per_second")) == ("consistent", "1024/53")
    assert found["read"]["steps"]["value"] == "42,781"
    path = tmp_path / "a.log"
    path.write_text("".join(re.sub(r"global batch size: +\d+ \| ", "", LINE.format(s, 8 * s, 0)) for s in range(1, 11)))
    assert ask(path)["read"]["timed_steps"]["value"] == "9", "where no line has a batch, all of them are timed"


def test_a_peak_that_is_used_is_no_claim_without_an_answer(ask, logs):
    flags = ("--devices", "64", "--parameters", "52B", "--precision", "fp16")
    path = logs / "megatron_with_deepspeed_dump.log"
    assert ask(path, *flags, "--peak-tflops", "125")["verdict"] == "consistent"
    assert ask(path, *flags, "--peak-tflops", "125", "--mfu", "30.7%")["verdict"] == "consistent"
    missing = ask(path, "--devices", "64", "--peak-tflops", "125")["missing"]
    assert missing.startswith("MFU cannot be derived without --parameters or --model")


@pytest.mark.parametrize("name", ["colours_inside_the_line.log", "carriage_returns_only.log"])
def test_what_a_terminal_was_told(ask, logs, name):
    found = ask(logs / name)
    assert (found["verdict"], found["read"]["global_batch"]["value"]) == ("consistent", "1,024")
    assert (found["read"]["steps"]["value"], derived(found, "samples_between_lines")) == ("2", "1024")


def test_other_things_a_terminal_is_told(ask, tmp_path):
    """Backspaces, a title, colours in numbers, a bar before the line, two lines that two processes wrote into one."""
    first, second, third = (LINE.format(step, 8 * step, 8) for step in (1, 2, 3))
    texts = (
        first + " 50%|██   |\b\b\b\b" + second + third,
        "\x1b]0;training\x07" + first + "[rank0]: " + second.replace("       16", "\x1b[1;32m       16\x1b[0m") + third,
        "1%|#   |\r" + first.rstrip() + "\r\r\n" + second + third,
        first + second.rstrip() + third,
        ("x" * 70_000 + "\r") * 3 + "\r".join((first.strip(), second.strip(), third.strip())),
    )
    for text in texts:
        path = tmp_path / "a.log"
        path.write_bytes(text.encode())
        found = ask(path)
        assert (found["verdict"], found["read"]["samples"]["value"]) == ("consistent", "24"), text
        assert derived(found, "samples_between_lines") == "16"


def test_a_line_of_neox_behind_another(ask, tmp_path):
    line = " samples/sec: {1} | iteration {0:8d}/ 100 | elapsed time per iteration (ms): {2} | lm loss: 1.0 |"
    path = tmp_path / "a.log"
    path.write_text(
        "  train_batch_size ........ 8....updated\n  seq_length ....... 16....default\n"
        + line.format(1, "8.000", "1000.0") + line.format(2, "16.000", "500.0") + "\n"
    )  # fmt: skip
    found = ask(path)
    assert (found["kind"], found["by_name"]["samples_per_second"]["stated"]) == ("gpt-neox", "16")
    assert found["verdict"] == "consistent"


@pytest.mark.parametrize(
    ("name", "steps", "planned", "batch", "samples"),
    [("nemo_every_step.log", 8, 50_000_000, 8, 64), ("nemo_every_fourth_step.log", 12, 12, 512, 6144)],
)
def test_nemo_counts_from_0(ask, logs, name, steps, planned, batch, samples):
    found = ask(logs / name, "--steps", steps, "--samples", samples)
    assert (found["kind"], found["verdict"]) == ("nemo", "consistent")
    assert found["read"]["planned_steps"]["value"] == f"{planned:,}"
    assert (found["read"]["steps"]["value"], found["read"]["global_batch"]["value"]) == (f"{steps:,}", f"{batch:,}")
    assert derived(found, "samples") == str(samples)
    assert ask(logs / name, "--samples", samples - batch, code=1)["verdict"] == "inconsistent"


def test_megatron_bridge_counts_from_1(ask, logs):
    found = ask(logs / "megatron_bridge.log", "--steps", "100", "--samples", "3200")
    assert (found["kind"], found["verdict"]) == ("megatron", "consistent")


def test_a_line_of_nemo_that_was_cut(ask, logs, tmp_path):
    path = tmp_path / "a.log"
    path.write_text((logs / "nemo_every_step.log").read_text() + "Training epoch 0, iteration 8/49999999 | lr: 0.0")
    assert ask(path)["read"]["steps"]["value"] == "8"


def test_a_claim_that_is_the_plan_of_a_checkpoint(ask, logs, write_state):
    path = logs / "checkpoint_before_its_plan.json"
    found = ask(path, "--steps", "2315", "--epochs", "5")
    assert found["verdict"] == "underdetermined"
    assert "2315 is what it planned (2,315 steps), and what is here ends at step 2,200" in found["missing"]
    assert ask(path, "--epochs", "4.999")["verdict"] == "underdetermined", "as many as the planned steps make"
    assert ask(path, "--samples", "37040", "--global-batch", "16")["verdict"] == "underdetermined"
    for claims in (("--steps", "2316"), ("--steps", "2250"), ("--epochs", "7.5")):
        assert ask(path, *claims, code=1)["verdict"] == "inconsistent"
    ended = write_state(global_step=2315, max_steps=2315, epoch=5.0, num_train_epochs=5)
    assert ask(ended, "--steps", "2400", code=1)["verdict"] == "inconsistent"


@pytest.mark.parametrize("corpus", ["175k", "174.5k", "174,508", "~175k"])
def test_a_rounded_corpus_is_an_interval(ask, logs, corpus):
    path = logs / "four_a_step.json"
    assert ask(path, "--global-batch", "4", "--corpus", f"{corpus} samples")["verdict"].startswith("consistent")
    assert ask(path, "--global-batch", "5", "--corpus", f"{corpus} samples", code=1)["verdict"] == "inconsistent"


def test_rounded_totals_are_intervals(ask, write_state):
    path = write_state(global_step=1000, max_steps=1000, epoch=1.0, num_train_epochs=1)
    claims = ("--global-batch", "44", "--samples")
    assert ask(path, *claims, "44k")["verdict"].startswith("consistent")
    assert ask(path, *claims, "44.0k")["verdict"].startswith("consistent")
    assert ask(path, *claims, "46k", code=1)["verdict"] == "inconsistent"
    assert ask(path, *claims, "46000", code=1)["verdict"] == "inconsistent"


def test_until_4_6_the_rate_is_of_steps(ask, logs):
    claims = ("--global-batch", "64", "--corpus", "14732 samples", "--sequence-length", "1024", "--tokens-per-second")
    found = ask(logs / "rate_of_steps.json", *claims, "124K")
    assert found["verdict"].startswith("consistent")
    assert found["by_name"]["tokens_per_second"]["value"] == pytest.approx(44_196 * 1024 / 363.7124)
    assert "timed_samples" not in found["read"]
    assert ask(logs / "rate_of_steps.json", *claims, "1951", code=1)["verdict"] == "inconsistent"


def test_a_call_that_made_no_step_tells_no_rate(ask, write_state):
    summary = {
        "step": 6, "epoch": 1.8, "train_loss": 0.0, "train_runtime": 0.0011, "train_samples_per_second": 66647.734,
        "train_steps_per_second": 5403.87,
    }  # fmt: skip
    path = write_state(global_step=6, max_steps=6, epoch=1.8, num_train_epochs=2, log_history=[summary])
    assert not {"seconds", "samples_per_second"} & ask(path)["read"].keys()


def test_a_summary_against_a_batch(ask, logs):
    found = ask(logs / "batch_of_fifty.json", "--global-batch", "100", "--steps", "5000", code=1)
    assert found["verdict"] == "inconsistent"
    right = ask(logs / "batch_of_fifty.json", "--global-batch", "50", "--steps", "5000")
    assert right["verdict"].startswith("consistent")


def test_two_runs_in_one_folder(ask, logs):
    found = ask(logs / "two_runs")
    assert (found["overlaps"], found["read"]["steps"]["value"]) == ([], "1,000")
    (note,) = [note for note in found["notes"] if note.startswith("Two runs are here")]
    assert "max_steps 8,660 for 8,712, num_train_epochs 4 for 3, train_batch_size 1 for 8" in note


def test_a_run_that_goes_on_with_other_settings_is_one_run(ask, write_state):
    def rows(steps):
        return [{"step": step, "epoch": step / 100, "loss": 1 / step} for step in range(10, steps + 1, 10)]

    write_state("checkpoint-50", global_step=50, max_steps=100, train_batch_size=4, log_history=rows(50))
    path = write_state("checkpoint-90", global_step=90, max_steps=200, train_batch_size=8, log_history=rows(90))
    assert not any("Two runs" in note for note in ask(path.parent.parent)["notes"])
    for settings, others in (((100, 4), 0), ((200, 4), 1)):
        lost = [{**row, "loss": 9.0} for row in rows(50)]
        max_steps, size = settings
        write_state("checkpoint-50", global_step=50, max_steps=max_steps, train_batch_size=size, log_history=lost)
        write_state("checkpoint-90", global_step=90, max_steps=100, train_batch_size=4, log_history=rows(90))
        found = ask(path.parent.parent)
        assert sum("Two runs" in note for note in found["notes"]) == others
        assert len(found["overlaps"]) == 1 - others, "the same settings begun anew make steps twice"


def test_a_pointer_in_a_folder(ask, logs, tmp_path):
    (tmp_path / "checkpoint-500").mkdir()
    shutil.copy(logs / "git_lfs_pointer.json", tmp_path / "checkpoint-500" / "trainer_state.json")
    for path in (tmp_path, tmp_path / "checkpoint-500", logs / "git_lfs_pointer.json"):
        error = ask(path, code=2)
        assert (error["asked"], error["fixes"]) == ("this is a Git LFS pointer, not the file", ["git lfs pull"])
    run = tmp_path / "offline-run-1"
    run.mkdir()
    shutil.copy(logs / "git_lfs_pointer.json", run / "run-1.wandb")
    assert ask(run, code=2)["fixes"] == ["git lfs pull"]


def test_rows_are_not_made_into_fractions_one_by_one(write_state, monkeypatch):
    """A million of them cost little more than reading the JSON (docs/benchmarks.md)."""
    rows = [{"step": step, "epoch": step / 999, "loss": 0.5, "train_runtime": 0.1 * step} for step in range(1, 5000)]
    path = write_state(global_step=4999, max_steps=4999, epoch=4999 / 999, num_train_epochs=6, log_history=rows)
    read, calls = record.Number.read.__func__, []

    def counted(cls, *arguments):
        calls.append(arguments)
        return read(cls, *arguments)

    monkeypatch.setattr(record.Number, "read", classmethod(counted))
    run = trainer_state.read_trainer_state([path], "run")
    assert run.numbers["steps_per_epoch"].interval.holds(999)
    assert len(calls) < 50
    json.dumps(run.to_json())


def test_windows_that_the_logged_epoch_shows_to_be_carried(ask, logs):
    """4 × ⌊313 ÷ 8⌋ = 156 steps of 8 micro-steps are 1,248 ÷ 313 passes, as logged."""
    claims = ("--global-batch", "3072", "--corpus", "120139 samples")
    for more in ((), ("--epochs", "4"), ("--samples", "479073"), ("--gradient-accumulation", "8", "--per-device", "8")):
        found = ask(logs / "windows_carried.json", *claims, *more)
        assert found["verdict"].startswith("consistent"), more
        assert (derived(found, "samples"), derived(found, "steps")) == ("479073", "156")
        assert found["readings"][0]["assumes"]["last_window"].endswith("goes on into the next pass")
    assert any("1,248 micro-steps ÷ 313 a pass" in note for note in found["notes"])
    assert ask(logs / "windows_carried.json", *claims, "--samples", "471009", code=1)["verdict"] == "inconsistent"


def test_a_bare_state_tells_what_is_in_it(ask, logs):
    found = ask(logs / "bare_state.json")
    assert found["verdict"] == "underdetermined"
    told = {name: check["derived"] for name, check in found["by_name"].items()}
    assert told == {
        "steps": "128", "planned_steps": "128", "epochs": "1", "planned_epochs": "1", "per_device": "1",
        "steps a pass": "128", "samples": "512", "global_batch": "4", "devices × accumulation": "4", "corpus": "512",
    }  # fmt: skip
    assert found["by_name"]["corpus"]["how"] == "512 ÷ 1, if it was told its epochs; told its steps: 509 to 512"


def test_a_bare_state_that_was_told_its_steps(ask, logs):
    named = ask(logs / "batch_of_fifty.json")["by_name"]
    assert (named["global_batch"]["derived"], named["steps a pass"]["derived"]) == ("50", "131")
    assert (named["corpus"]["derived"], named["corpus"]["how"]) == ("6550", "50 × 131 steps a pass: 6,501 to 6,550")
    low, high = (named["samples"][end] for end in ("low", "high"))
    assert (low, high) == (pytest.approx(249_998 - 39, abs=1), pytest.approx(249_998 + 39, abs=1))


def test_a_bare_state_whose_windows_went_on(ask, logs):
    named = ask(logs / "windows_carried.json")["by_name"]
    assert named["divisor of the accumulation"]["derived"] == "8"
    assert named["global_batch"]["low"] <= 3072 <= named["global_batch"]["high"]
    assert named["corpus"]["low"] <= 120_139 <= named["corpus"]["high"]


@pytest.mark.parametrize("accumulation", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("corpus", [40, 97, 250, 1000])
def test_bare_states_hold_the_truth(ask, write_state, corpus, accumulation):
    """Batches, corpora and divisors of the accumulation of runs as Transformers 5 makes them."""
    micro_steps = -(-corpus // 4)
    per_pass = -(-micro_steps // accumulation)
    for epochs, steps in ((3, 3 * per_pass), (3, 2 * per_pass + max(per_pass // 2, 1)), (1, max(per_pass // 2, 1))):
        inside = steps % per_pass
        epoch = steps // per_pass + min(inside * accumulation, micro_steps) / micro_steps
        samples = corpus * epochs if steps % per_pass == 0 else steps * 4 * accumulation
        summary = {
            "step": steps, "epoch": epoch, "train_loss": 1.0, "train_runtime": 100.0,
            "train_samples_per_second": round(samples / 100, 3), "train_steps_per_second": round(steps / 100, 3),
        }  # fmt: skip
        path = write_state(
            global_step=steps, max_steps=steps, epoch=epoch, num_train_epochs=epochs, train_batch_size=4,
            log_history=[summary],
        )  # fmt: skip
        named = ask(path)["by_name"]
        if "global_batch" in named:
            assert named["global_batch"]["low"] <= 4 * accumulation <= named["global_batch"]["high"]
        if "corpus" in named:
            assert named["corpus"]["low"] <= corpus <= named["corpus"]["high"]
        if "divisor of the accumulation" in named:
            assert accumulation % int(named["divisor of the accumulation"]["derived"]) == 0


def test_the_head_of_a_console_tells_the_layout(ask, logs):
    path = logs / "hf_console_of_two_calls.log"
    found = ask(path)
    assert (found["kind"], found["verdict"], derived(found, "devices")) == ("hf-console", "consistent", "16")
    assert (derived(found, "planned_steps"), found["by_name"]["planned_steps"]["agreement"]) == ("16", "exact")
    read = {name: number["value"] for name, number in found["read"].items()}
    assert read == {
        "corpus": "1,000", "planned_epochs": "1", "per_device": "4", "global_batch": "64",
        "gradient_accumulation": "1", "planned_steps": "16",
    }  # fmt: skip
    assert any("is of 1,377 steps" in note for note in found["notes"])
    assert ask(path, "--devices", "8", code=1)["by_name"]["devices"]["derived"] == "16"
    assert ask(path, "--corpus", "2000 samples", code=1)["verdict"] == "inconsistent"
    assert ask(path, "--corpus", "1k samples", "--devices", "16")["verdict"].startswith("consistent")


@pytest.mark.parametrize(
    ("name", "steps", "epochs", "samples"),
    [
        ("v4.44-accumulate3", 6, "1.8", 69),
        ("v4.44-noop-resume", 6, "1.8", 69),
        ("v4.51-floored-plan", 6, "1.6", 61),
        ("v5.24-accumulate3", 8, "2", 74),
    ],
)
def test_consoles_of_three_versions(ask, logs, name, steps, epochs, samples):
    path = logs.parent / f"samples/hf-console/{name}.log"
    found = ask(path, "--samples", samples, "--steps", steps, "--devices", "1")
    assert found["verdict"].startswith("consistent")
    read = {key: number["value"] for key, number in found["read"].items()}
    assert (read["steps"], read["epochs"], read["corpus"]) == (str(steps), epochs, "37")
    assert (read["per_device"], read["gradient_accumulation"], read["global_batch"]) == ("4", "3", "12")
    assert (derived(found, "samples"), derived(found, "devices")) == (str(samples), "1")
    assert ("samples_per_second" in read) == (name != "v4.44-noop-resume")
    assert ask(path, "--samples", samples * 2, code=1)["verdict"] == "inconsistent"


def test_the_console_of_a_stream_holds_no_corpus(ask, logs):
    found = ask(logs.parent / "samples/hf-console/v5.24-stream-no-tqdm.log")
    read = {key: number["value"] for key, number in found["read"].items()}
    assert (read["steps"], read["stream_epoch"], read["global_batch"]) == ("12", "2.167", "4")
    assert "corpus" not in read
    assert derived(found, "samples") == "48"


@pytest.mark.parametrize(
    ("corpus", "epochs", "per_device", "batch", "accumulation", "steps", "devices"),
    [
        ("1895", 1, 8, 8, 1, "237", 1),
        ("5,285", 1, 1, 128, 128, "41", 1),
        ("7961583", 3, 24, 48, 2, "497598", 1),
        ("566,747", 1, 4, 512, 16, "1,106", 8),
        ("16,527,707", 3, 8, 8, 1, "6,197,892", 1),
        ("481", 10, 2, 16, 8, "300", 1),
    ],
)
def test_the_plans_of_public_consoles(ask, tmp_path, corpus, epochs, per_device, batch, accumulation, steps, devices):
    """Heads of 2021 to 2025: versions until 4.51 leave the partial window out of the plan."""
    path = tmp_path / "train.log"
    path.write_text(
        f"    ***** Running training *****\n  Num examples = {corpus}\n  Num Epochs = {epochs}\n"
        f"  Instantaneous batch size per device = {per_device}\n"
        f"  Total train batch size (w. parallel, distributed & accumulation) = {batch}\n"
        f"  Gradient Accumulation steps = {accumulation}\n  Total optimization steps = {steps}\n"
    )
    found = ask(path, "--devices", devices)
    assert (found["verdict"], found["by_name"]["planned_steps"]["agreement"]) == ("consistent", "exact")


def console(*, steps, resumed=0, done=None, epoch="1.0", ends=True):
    """A call of `train` on 100 samples, 10 a step."""
    lines = [
        "***** Running training *****", "  Num examples = 100", "  Num Epochs = 2",
        "  Instantaneous batch size per device = 5",
        "  Total train batch size (w. parallel, distributed & accumulation) = 10",
        "  Gradient Accumulation steps = 1", f"  Total optimization steps = {steps}",
    ]  # fmt: skip
    if resumed:
        lines.append(f"  Continuing training from global step {resumed}")
    for step in range(resumed + 5, (done or steps) + 1, 5):
        bar = f" 50%|#### | {step}/{steps} [00:01<00:01, 5.0it/s]"
        lines += [bar, f"{{'loss': 1.25, 'epoch': {step / 10:.2f}}}", bar]
    lines += ["***** Running Evaluation *****", "  Num examples = 7", f" 99%|### | {steps}/{steps} [00:00<00:00]"]
    lines += ["{'eval_loss': 1.0, 'eval_runtime': 1.0, 'epoch': 0.1}"]
    if ends:
        lines.append(
            f"{{'train_runtime': 10.0, 'train_samples_per_second': 20.0, 'train_steps_per_second': {steps / 10}, "
            f"'train_loss': 1.0, 'epoch': {epoch}}}"
        )
    return "\n".join(f"[INFO|trainer.py:1] 2024-01-01 >> {line}" if "*" in line else line for line in lines) + "\n"


def test_consoles_that_were_killed_and_resumed(ask, tmp_path):
    path = tmp_path / "train.log"
    path.write_text(console(steps=20, done=15, ends=False))
    found = ask(path, "--steps", "20")
    assert (found["verdict"], found["read"]["steps"]["value"]) == ("underdetermined", "15")
    assert ask(path, "--steps", "12", code=1)["verdict"] == "inconsistent"

    path.write_text(console(steps=20, done=15, ends=False) + console(steps=20, resumed=10, epoch="2.0"))
    found = ask(path, "--steps", "20", "--epochs", "2", "--samples", "200", "--devices", "2")
    assert found["verdict"] == "consistent"
    assert [(one["first_step"], one["last_step"]) for one in found["segments"]] == [(1, 15), (11, 20)]
    assert found["overlaps"] == [{"first_step": 11, "last_step": 15}]
    assert "seconds" not in found["read"], "its seconds are those of the last call"

    path.write_text(console(steps=30, epoch="3.0") + console(steps=20, epoch="2.0"))
    found = ask(path, "--steps", "20")
    assert (found["verdict"], found["overlaps"], len(found["segments"])) == ("consistent", [], 1)
    assert any(note.startswith("2 trainings begin at step 0") for note in found["notes"])


def test_bars_that_are_copied_from_a_terminal(ask, tmp_path):
    """Bars behind each other in one line, and rows between bars of other steps, which tell no step of theirs."""
    head, _, _ = console(steps=20, epoch="2.0").partition("{")
    bars = "".join(f"#015 {step}%|# | {step}/20 [00:0{step}<00:10, 1.0it/s]" for step in range(8))
    rows = "{'loss': 1.0, 'epoch': 0.5}\n 50%|## | 9/20 [00:09<00:10, 1.0it/s]\n"
    path = tmp_path / "train.log"
    path.write_text(head + bars + "[INFO|callbacks:143] >> {'loss': 1.0, 'epoch': 0.5, 'throughput': 1828.21}\n" + rows)
    found = ask(path, "--steps", "9")
    assert (found["read"]["steps"]["value"], "epochs" in found["read"]) == ("9", False)
    assert "steps_per_epoch" not in found["read"]


def test_heads_that_two_ranks_print(ask, tmp_path):
    head, _, rest = console(steps=20, epoch="2.0").partition("{")
    path = tmp_path / "train.log"
    path.write_text("".join(f"{line}\n{line}\n" for line in head.splitlines()) + "{" + rest)
    found = ask(path, "--steps", "20", "--epochs", "2", "--devices", "2")
    assert (found["verdict"], found["notes"], len(found["segments"])) == ("consistent", [], 1)


def test_a_console_with_deepspeed_s_arguments(ask, tmp_path):
    path = tmp_path / "train.log"
    dump = "[INFO] [config.py:988:print]   train_batch_size ............. 10\n"
    dump += "[INFO] [config.py:988:print]   gradient_accumulation_steps .. 1\n"
    dump += "[INFO] [config.py:988:print]   train_micro_batch_size_per_gpu  5\n"
    path.write_text(dump + console(steps=20, epoch="2.0"))
    assert ask(path, "--steps", "20")["kind"] == "hf-console"


def test_a_console_whose_process_sees_two_devices(ask, tmp_path):
    path = tmp_path / "train.log"
    text = console(steps=20, epoch="2.0").replace(
        "device = 5\n", "device = 5\n  Training with DataParallel so batch size has been adjusted to: 10\n"
    )
    path.write_text(text)
    found = ask(path, "--devices", "2", "--per-device", "5")
    assert (found["verdict"], "nn.DataParallel" in found["only_if"]) == ("consistent-only-if", True)
