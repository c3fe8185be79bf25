"""Runs whose numbers are right are never called inconsistent; wrong claims still are."""

import json
from fractions import Fraction

import pytest

from dist_epochs.audit.records.tracker_rows import run_of_rows

BIG = 2**63 - 1


def verdict(ask, path, claims, code=0):
    return ask(path, *claims.split("|"), code=code)["verdict"]


@pytest.fixture
def state(write_state):
    def write(steps, epoch, per_device, planned=None, max_steps=None, rows=()):
        log = [{"step": step, "epoch": at, "loss": 1.0} for step, at in rows]
        told = -(-Fraction(epoch) // 1) if planned is None else planned
        return write_state(
            global_step=steps,
            max_steps=max_steps or steps,
            epoch=epoch,
            num_train_epochs=int(told),
            train_batch_size=per_device,
            log_history=log,
        )

    return write


def test_the_trainer_s_own_float(ask, state):
    path = state(350, 350 / 150, 8, rows=[(step, step / 150) for step in range(50, 351, 50)])
    for claims in ("--corpus|1200 samples", "--corpus|1200 samples|--global-batch|8"):
        assert verdict(ask, path, claims).startswith("consistent")


def test_an_epoch_that_was_rounded(ask, state):
    path = state(409, 3.272, 8)
    assert verdict(ask, path, "--corpus|1000 samples|--global-batch|8|--epochs|3.3").startswith("consistent")
    assert verdict(ask, path, "--corpus|1000 samples|--global-batch|8|--epochs|3.8", code=1) == "inconsistent"


def test_a_run_that_stopped_early(ask, state):
    path = state(33, 1.32, 4, planned=2, max_steps=50)
    assert verdict(ask, path, "--corpus|100 samples|--global-batch|4|--epochs|1.3").startswith("consistent")


def test_floats_are_multiplied(ask, state):
    path = state(56, 1.12, 8)
    for epochs in ("1.1", "1.10", "1.12"):
        assert verdict(ask, path, f"--corpus|400 samples|--global-batch|8|--epochs|{epochs}").startswith("consistent")


def test_samples_that_are_dropped(ask, state):
    path = state(36, 3.0, 8)
    claims = "--corpus|100 samples|--global-batch|8|--gradient-accumulation|1|--epochs"
    assert ask(path, *f"{claims}|2.88".split("|"))["verdict"] != "inconsistent"
    found = ask(path, *f"{claims}|3".split("|"))
    assert found["verdict"] == "consistent-only-if"
    assert "drop_last" in found["only_if"]
    dropped = {check["name"]: check["derived"] for check in found["readings"][-1]["checks"]}
    assert dropped["samples"] == "288"


@pytest.mark.parametrize("samples", [100, 95])
def test_a_stream(ask, state, samples):
    path = state(30, 2.3333333333333335, 10, planned=BIG)
    claims = f"--corpus|{samples} samples|--global-batch|10"
    assert verdict(ask, path, f"{claims}|--epochs|3") == "consistent"
    assert verdict(ask, path, f"{claims}|--samples|{3 * samples}") == "consistent"
    assert verdict(ask, path, f"{claims}|--samples|{3 * samples + 15}", code=1) == "inconsistent"
    assert verdict(ask, path, "--epochs|3|--global-batch|10") == "underdetermined"


def test_a_stream_whose_windows_leak(ask, state):
    path = state(30, 14 + 8 / 120, 10, planned=BIG)
    claims = "--corpus|100 samples|--gradient-accumulation|4|--devices|1"
    assert verdict(ask, path, f"{claims}|--epochs|14.8|--samples|1480") == "consistent"
    assert verdict(ask, path, f"{claims}|--samples|1200", code=1) == "inconsistent"


def test_one_process_that_sees_two_devices(ask, state):
    found = ask(state(13, 1.0, 8), "--per-device", "4", "--devices", "2", "--gradient-accumulation", "1")
    assert found["verdict"] == "consistent-only-if"
    assert "nn.DataParallel" in found["only_if"]


def test_a_pass_of_one_step(ask, state):
    path = state(5, 5.0, 10)
    claims = "--corpus|7 samples|--per-device|10|--gradient-accumulation|4|--devices"
    for devices in (1, 8):
        assert verdict(ask, path, f"{claims}|{devices}").startswith("consistent")


def test_another_accumulation_after_a_restart(ask, state):
    rows = [(step, step / 100) for step in range(10, 110, 10)]
    rows += [(100 + step, 1 + step / 50) for step in range(10, 60, 10)]
    found = ask(
        state(150, 2.0, 8, rows=rows), "--corpus", "800 samples", "--gradient-accumulation", "2", "--devices", "1"
    )
    assert found["verdict"] == "underdetermined"
    assert "devices" not in found["by_name"]


def test_claims_that_nothing_holds_are_missing(ask, state):
    path = state(13, 1.0, 8)
    found = ask(path, "--hours", "5000", "--gradient-accumulation", "7", "--documents", "3", "--tensor-parallel", "5")
    assert found["verdict"] == "underdetermined"
    for flag in ("hours", "gradient accumulation", "documents", "--tensor-parallel"):
        assert flag in found["missing"]


def test_hours_beside_the_clock(ask, write_state):
    summary = {
        "step": 10,
        "epoch": 1.0,
        "train_runtime": 7200.0,
        "train_samples_per_second": 1.0,
        "train_steps_per_second": 0.001,
    }
    path = write_state(global_step=10, max_steps=10, epoch=1.0, log_history=[summary])
    assert verdict(ask, path, "--hours|2").startswith("consistent")
    assert verdict(ask, path, "--hours|1", code=1) == "inconsistent"
    assert verdict(ask, path, "--hours|5000") == "underdetermined"


def megatron(path, batches, every=10, planned=5000, drawn=0):
    lines = ["  train_iters ........ " + str(planned) + "\n"]
    for step, batch in enumerate(batches, start=1):
        drawn += batch
        if step % every == 0:
            lines.append(
                f" iteration {step:8d}/ {planned:8d} | consumed samples: {drawn:12d} | "
                f"global batch size: {batch:5d} | lm loss: 1.0E+00 |\n"
            )
    path.write_text("".join(lines))
    return path


def test_the_last_line_is_not_the_last_step(ask, tmp_path):
    path = megatron(tmp_path / "a.log", [256] * 1005, planned=1005)
    for claim in ("--steps|1005", "--samples|257280", "--steps|1000"):
        assert verdict(ask, path, claim).startswith("consistent")
    assert verdict(ask, path, "--steps|1006", code=1) == "inconsistent"


def test_a_ramp_beside_its_last_batch(ask, tmp_path):
    batches = [min(256, 32 + 32 * (step // 20)) for step in range(300)]
    path = megatron(tmp_path / "a.log", batches)
    assert verdict(ask, path, f"--global-batch|256|--samples|{sum(batches)}").startswith("consistent")
    assert verdict(ask, path, "--global-batch|500", code=1) == "inconsistent"
    path = megatron(tmp_path / "b.log", [256] * 200 + [512] * 100)
    assert verdict(ask, path, "--global-batch|512").startswith("consistent")


def rows_of(every, steps, key="step", **more):
    return [{key: step, **{name: make(step) for name, make in more.items()}} for step in range(every, steps + 1, every)]


@pytest.fixture
def tracked(monkeypatch, ask):
    """Audit rows of wandb."""
    from dist_epochs.cli import audit

    def call(rows, config, *flags, code=0, **more):
        monkeypatch.setattr(audit, "fetch_run", lambda name: run_of_rows(rows, config, {}, name="x", **more))
        return ask("wandb:a/b/c", *flags, code=code)

    return call


def test_loops_that_log_now_and_then(tracked):
    rows = rows_of(100, 1050)
    assert tracked(rows, {"global_batch_size": 8}, "--steps", "1050", "--samples", "8400")["verdict"].startswith("con")
    assert tracked(rows, {}, "--steps", "1100", code=1)["verdict"] == "inconsistent"
    lightning = [{"trainer/global_step": step} for step in (49, 99)]
    assert tracked(lightning, {}, "--steps", "130")["verdict"].startswith("con")
    every = [{"trainer/global_step": step} for step in range(1000)]
    assert tracked(every, {}, "--steps", "1000")["verdict"].startswith("con")


def test_a_file_that_was_cut_is_a_lower_bound(tracked):
    rows = rows_of(1, 100)
    assert tracked(rows, {}, "--steps", "500", is_cut=True)["verdict"] == "underdetermined"
    assert tracked(rows, {}, "--steps", "100", is_cut=True)["verdict"] == "consistent"
    assert tracked(rows, {}, "--steps", "50", is_cut=True, code=1)["verdict"] == "inconsistent"


def test_a_stream_through_wandb(tracked):
    config = {"per_device_train_batch_size": 10, "max_steps": 30, "gradient_accumulation_steps": 1}
    rows = [
        {"train/global_step": step, "train/epoch": (step - 1) // 10 + ((step - 1) % 10 + 1) / 30}
        for step in range(1, 31)
    ]
    claims = ("--corpus", "100 samples", "--global-batch", "10", "--devices", "1")
    assert tracked(rows, config, *claims, "--epochs", "3")["verdict"] == "consistent"
    assert tracked(rows, config, *claims, "--epochs", "2.33", code=1)["verdict"] == "inconsistent"
    assert "devices" not in tracked(rows, config, "--corpus", "100 samples")["by_name"]
    late = rows[14:]
    assert tracked(late, config, *claims, "--epochs", "3")["verdict"] != "inconsistent"


def test_keys_that_mean_something_else(tracked):
    config = {"per_device_train_batch_size": 8, "seq_length": 8192}
    rows = [
        {
            "train/global_step": step,
            "train/epoch": step / 10,
            "train/num_input_tokens_seen": step * 80,
            "tokens": 80 - step,
        }
        for step in range(1, 11)
    ]
    assert tracked(rows, config, "--sequence-length", "512")["verdict"] != "inconsistent"
    plain = rows_of(1, 10, tokens=lambda step: 80, samples=lambda step: 8)
    assert tracked(plain, {"global_batch_size": 8}, "--samples", "80")["verdict"] == "consistent"
    total = rows_of(1, 10, samples=lambda step: 8 * step)
    assert tracked(total, {}, "--samples", "80")["verdict"] == "consistent"


def test_bigscience(ask, tmp_path):
    line = (
        " iteration {0:8d}/  115311 | consumed samples: {1:12d} | consumed tokens: {2} | "
        "elapsed time per iteration (s): 769.99 | learning rate: 1E-04 | global batch size: 2048 | "
        "lm loss: 2.0E+00 | samples per second: 2.660 | TFLOPs: 150.00 |\n"
    )
    path = tmp_path / "main_log.txt"
    path.write_text("".join(line.format(step, step * 2048, step * 2048 * 2048) for step in (1, 2, 3)))
    found = ask(path, "--sequence-length", "2048")
    assert found["by_name"]["samples_per_second"]["agreement"] in ("exact", "rounds", "overlaps")
    assert found["verdict"].startswith("consistent")


@pytest.fixture
def rated(write_state):
    """A run that ended with the summary of `train`, its rates printed to three decimals."""

    def write(steps, samples, seconds, *, epoch, told=1, planned=None, rated=None, **more):
        summary = {
            "step": steps, "epoch": epoch, "train_loss": 1.0, "train_runtime": round(seconds, 4),
            "train_samples_per_second": round(samples / seconds, 3),
            "train_steps_per_second": round((rated or planned or steps) / seconds, 3),
        }  # fmt: skip
        return write_state(
            global_step=steps,
            max_steps=planned or steps,
            epoch=epoch,
            num_train_epochs=told,
            log_history=[summary],
            **more,
        )

    return write


@pytest.mark.parametrize("seconds", [0.0113, 12.5, 1000.0, 77350.9963])
def test_the_rate_of_a_right_batch(ask, rated, seconds):
    """max_steps × batch ÷ seconds, as 4.10 and newer log it, also for the last start of a run that was resumed."""
    path = rated(5000, 250_000, seconds, epoch=38.16793893129771, told=39)
    for claims in ("--global-batch|50", "--samples|250000", "--per-device|25|--gradient-accumulation|2|--devices|1"):
        assert verdict(ask, path, f"{claims}|--steps|5000").startswith("consistent")
    for claims in ("--global-batch|100", "--samples|500000", "--per-device|25|--gradient-accumulation|4|--devices|1"):
        assert verdict(ask, path, f"{claims}|--steps|5000", code=1) == "inconsistent"


def test_the_rate_of_a_run_that_stopped_just_before_its_end(ask, rated):
    """Until 5.18 it is that of the plan, and the digits of the steps a second cannot tell the two apart."""
    path = rated(4995, 250_000, 77350.9963, epoch=0.5, planned=5000)
    assert verdict(ask, path, "--global-batch|50|--samples|249750").startswith("consistent")
    assert verdict(ask, path, "--global-batch|49", code=1) == "inconsistent"


def test_the_rate_since_an_early_resume(ask, rated):
    """Since 5.19 it is of the steps of the last start: 4,990 of 5,000."""
    path = rated(5000, 4990 * 50, 77350.9963, epoch=0.5, rated=4990)
    found = ask(path, "--global-batch", "50", "--samples", "250000")
    assert (found["verdict"], "resumed" in found["only_if"]) == ("consistent-only-if", True)
    assert verdict(ask, path, "--global-batch|49", code=1) == "inconsistent"
    resumed = rated(5000, 2500 * 50, 40000.0, epoch=0.5, rated=2500)
    assert verdict(ask, resumed, "--global-batch|50") != "inconsistent"
    assert verdict(ask, resumed, "--samples|250000") != "inconsistent"
    slow = rated(100, 50 * 50, 200_000.0, epoch=0.5, rated=50)  # 0.00025 steps a second, which are printed as 0.0
    assert verdict(ask, slow, "--global-batch|50") != "inconsistent"
    assert verdict(ask, slow, "--samples|5000") != "inconsistent"


def test_the_rate_of_a_process_that_saw_two_devices(ask, rated):
    path = rated(1000, 8000, 1234.5, epoch=0.5, train_batch_size=8)
    for claims in ("--devices|2|--gradient-accumulation|1", "--per-device|4|--devices|2|--gradient-accumulation|1"):
        found = ask(path, *claims.split("|"))
        assert (found["verdict"], "nn.DataParallel" in found["only_if"]) == ("consistent-only-if", True)
    assert verdict(ask, path, "--devices|1|--gradient-accumulation|1").startswith("consistent")
    assert verdict(ask, path, "--devices|4|--gradient-accumulation|4", code=1) == "inconsistent"


@pytest.mark.parametrize("accumulation", [1, 3, 4])
@pytest.mark.parametrize("ending", ["flush", "carry", "drop"])
def test_the_rate_of_passes_whatever_their_ends(ask, rated, ending, accumulation):
    """Samples of the data × epochs ÷ seconds; 4.44 went on over the ends, so that its epoch falls short of the plan."""
    for corpus in (70, 83, 120, 500, 997):
        for epochs in (1, 3, 10):
            batch = 10 * accumulation
            micro_steps = -(-corpus // 10)
            steps = epochs * max(
                -(-micro_steps // accumulation) if ending == "flush" else micro_steps // accumulation, 1
            )
            passed = Fraction(steps * accumulation, micro_steps) if ending == "carry" else Fraction(epochs)
            path = rated(steps, corpus * epochs, 1000.0, epoch=float(min(passed, epochs)), told=epochs)
            drawn = min(steps * batch, corpus * epochs)
            for claims in (f"--global-batch|{batch}", f"--samples|{drawn}", f"--samples|{corpus * epochs}"):
                assert verdict(ask, path, claims) != "inconsistent", (corpus, epochs, claims)


def test_the_rate_of_an_old_trainer_is_of_steps(ask, write_state):
    """Until 4.6, and no steps a second stand beside it."""
    summary = {"step": 5000, "train_runtime": 1000.0, "train_samples_per_second": 5.0}
    path = write_state(global_step=5000, max_steps=5000, epoch=2.0, num_train_epochs=2, log_history=[summary])
    for claims in ("--global-batch|50", "--samples|250000"):
        assert verdict(ask, path, claims) != "inconsistent"


def test_the_rate_in_wandb(tracked):
    rows = [*rows_of(10, 1000, key="train/global_step"), {
        "train/global_step": 1000, "train/epoch": 0.5, "train_runtime": 2000.0, "train_samples_per_second": 25.0,
        "train_steps_per_second": 0.5,
    }]  # fmt: skip
    config = {"per_device_train_batch_size": 10, "max_steps": 1000, "num_train_epochs": 3}
    right, wrong = ("--global-batch", "50", "--samples", "50000"), ("--global-batch", "100")
    assert tracked(rows, config, *right)["verdict"].startswith("consistent")
    assert tracked(rows, config, *wrong, code=1)["verdict"] == "inconsistent"


def test_the_object_has_the_keys_of_a_claim(ask, state):
    found = ask(state(13, 1.0, 8), "--steps", "13")
    assert found.keys() >= ask("bert").keys()
    json.dumps(found)
