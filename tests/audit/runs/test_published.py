"""Runs that people asked about in public, with the right answers."""

from fractions import Fraction

import pytest

PACKED = ["--gradient-accumulation", "4", "--epochs", "3", "--corpus", "698 samples"]


def rows(*pairs):
    return [{"step": step, "epoch": epoch, "loss": 1.0, "learning_rate": 1e-5} for step, epoch in pairs]


@pytest.fixture
def packed(write_state):
    """huggingface/alignment-handbook issue 220: 698 packed rows of 7,473, 66 steps, 3 epochs."""
    return write_state(
        global_step=66, max_steps=66, epoch=3.0, num_train_epochs=3, train_batch_size=2, log_history=rows((22, 1.0))
    )


def test_eight_devices_were_four(ask, packed):
    claims = ["--devices", "8xA100", "--per-device", "2", "--global-batch", "32", "--documents", "7473"]
    found = ask(packed, *PACKED, *claims, code=1)
    assert (found["kind"], found["verdict"]) == ("hf-trainer", "inconsistent")
    named = {name: (check["derived"], check["agreement"]) for name, check in found["by_name"].items()}
    assert named["devices"] == ("4", "contradicts")
    assert named["steps"] == ("66", "exact")
    assert named["epochs"] == ("3", "exact")
    assert named["documents for a sample"] == (str(Fraction(7473, 698)), None)
    assert named["global_batch"][1] == "overlaps"
    assert any("2 of them share one copy of the model" in note for note in found["notes"])


def test_four_devices_are_consistent(ask, packed):
    found = ask(packed, *PACKED, "--devices", "4", "--global-batch", "32")
    assert found["verdict"] == "consistent-with-rounding"
    assert ask(packed, *PACKED, "--devices", "8", "--tensor-parallel", "2", "--global-batch", "32")["verdict"] == (
        "consistent-with-rounding"
    )


def test_the_batch_follows_from_the_epochs_alone(ask, packed):
    """Without a claimed batch: 698 ÷ 22 is 31.7, and the only multiple of 2 × 4 near it is 32."""
    found = ask(packed, *PACKED, "--devices", "8", code=1)
    assert found["by_name"]["devices"]["derived"] == "4"


def test_olmo_to_the_token(ask, tell, logs):
    """allenai/OLMo issue 584: 817,847 × 2,097,152 tokens; 1,430,511 steps would be 3.00T."""
    flags = ["--sequence-length", "2048", "--global-batch", "1024"]
    found = ask(logs / "olmo.log", *flags, "--tokens", "1715149471744")
    assert (found["kind"], found["verdict"]) == ("olmo", "consistent")
    assert found["by_name"]["tokens"]["derived"] == "1715149471744"
    assert found["by_name"]["global_batch"]["derived"] == "1024"
    assert found["read"]["planned_steps"]["value"] == "1,430,511"
    assert ask(logs / "olmo.log", *flags, "--tokens", "3.00T", code=1)["verdict"] == "inconsistent"
    assert "817,847 × 1,024" in tell(logs / "olmo.log", *flags, "--steps", "817847")


def test_generations_multiply_prompts(ask, write_state):
    """huggingface/open-r1 issue 483: 5,498 prompts × 8 generations, batch 224: 196 steps, and not 24."""
    path = write_state(global_step=196, max_steps=196, epoch=1.0, num_train_epochs=1, train_batch_size=4)
    found = ask(path, "--corpus", "5498x8 samples", "--global-batch", "224", "--epochs", "1")
    assert found["verdict"] == "consistent-only-if"
    steps = [
        check["derived"] for reading in found["readings"] for check in reading["checks"] if check["name"] == "steps"
    ]
    assert steps == ["197", "196", "196", "196"]
    wrong = ask(path, "--corpus", "5498 samples", "--global-batch", "224", "--epochs", "1", code=1)
    assert wrong["by_name"]["steps"]["derived"] == "25"


def test_the_last_window_decides(ask, write_state):
    """huggingface/transformers issue 33455: 9 rows, 2 × 2, 3 epochs: 6 steps with version 4.48, 9 since 5."""
    claims = ["--corpus", "9 samples", "--global-batch", "4", "--epochs", "3"]
    old = write_state("old", global_step=6, max_steps=6, epoch=2.0, num_train_epochs=3, train_batch_size=2)
    new = write_state("new", global_step=9, max_steps=9, epoch=3.0, num_train_epochs=3, train_batch_size=2)
    assert ask(new, *claims)["verdict"] == "consistent-with-rounding"
    found = ask(old, *claims)
    assert found["verdict"] == "consistent-only-if"
    assert {check["derived"] for r in found["readings"] for check in r["checks"] if check["name"] == "steps"} == {
        "9",
        "6",
    }


def test_the_epoch_of_a_stream_is_no_count_of_data(ask, write_state):
    """huggingface/transformers issue 41913: three passes are logged as 2.3333."""
    path = write_state(
        global_step=30, max_steps=30, epoch=2.3333333333333335, num_train_epochs=2**63 - 1, train_batch_size=10
    )
    found = ask(path, "--corpus", "100 samples", "--global-batch", "10", "--epochs", "3")
    check = found["by_name"]["epochs"]
    assert (check["derived"], check["by"], check["agreement"]) == ("3", "claim", "exact")
    assert any("had no length" in note for note in found["notes"])
    assert any("logged epoch 2.3333333333333335 of its stream: 3 were drawn" in note for note in found["notes"])


def test_tokens_of_sixteen_on_the_flops_of_one(ask, tell, write_state):
    """huggingface/blog pull request 1649: 45.5 % was 2.84 %."""
    path = write_state(global_step=10, max_steps=10)
    speed = Fraction("0.455") * 312 * 10**12 / (6 * 7 * 10**9)  # tokens a second over all 16
    flags = [
        "--devices",
        "16",
        "--peak-tflops",
        "312",
        "--parameters",
        "7000000000",
        "--tokens-per-second",
        f"{float(speed):.1f}",
    ]
    found = ask(path, *flags, "--mfu", "45.5%", code=1)
    assert found["by_name"]["mfu"]["value"] == pytest.approx(0.455 / 16, rel=1e-6)
    assert any("16 × the derived share, as many as its devices" in note for note in found["notes"])
    text = tell(path, *flags, "--mfu", "2.84%")
    assert "2.844 %" in text
    assert "÷ (16 × 312 TFLOP/s)" in " ".join(text.split())


def test_more_than_the_peak_is_impossible(ask, write_state):
    path = write_state(global_step=10, max_steps=10)
    flags = [
        "--devices",
        "1xH100",
        "--precision",
        "bf16",
        "--parameters",
        "7000000000",
        "--tokens-per-second",
        "100000",
    ]
    found = ask(path, *flags, code=1)
    assert (found["by_name"]["mfu"]["stated"], found["by_name"]["mfu"]["agreement"]) == ("at most 100 %", "contradicts")
    assert any("impossible" in note for note in found["notes"])
    assert "impossible" in ask(path, *flags, "--mfu", "250%", code=2)["asked"]


def test_two_resumes_with_one_overlap(ask, tell, tmp_path):
    line = " iteration {0:8d}/     350 | consumed samples: {1} | global batch size: 8 | lm loss: 1.0E+00 |\n"
    steps = [*range(1, 250), *range(203, 301)]
    text = "".join(line.format(step, step * 8) for step in steps)
    text += "  successfully loaded checkpoint from ckpt at iteration 300\n"
    text += "".join(line.format(step, step * 8) for step in range(301, 351))
    path = tmp_path / "run.log"
    path.write_text(text)
    found = ask(path)
    assert found["overlaps"] == [{"first_step": 203, "last_step": 249}]
    assert [(one["first_step"], one["last_step"]) for one in found["segments"]] == [(1, 249), (203, 300), (301, 350)]
    assert found["gaps"] == []
    text = tell(path)
    assert "3 segments, 2 restarts" in text
    assert "47 steps made twice: 203–249" in text
