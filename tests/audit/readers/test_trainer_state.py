"""States written by the real Trainer, and damaged ones."""

import json
import pickle
from pathlib import Path

import pytest

CLAIMS = ["--gradient-accumulation", "4", "--corpus", "50 samples", "--devices", "1"]


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """50 rows of 8 tokens, 2 × 4: three epochs, then two more from the last checkpoint."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

    folder = tmp_path_factory.mktemp("trainer") / "out"
    rows = [{"input_ids": torch.full((8,), at), "labels": torch.full((8,), at)} for at in range(50)]
    config = GPT2Config(vocab_size=64, n_embd=16, n_layer=1, n_head=1, n_positions=8, bos_token_id=1, eos_token_id=1)
    for epochs in (3, 5):
        arguments = TrainingArguments(
            str(folder),
            per_device_train_batch_size=2,
            gradient_accumulation_steps=4,
            num_train_epochs=epochs,
            save_steps=10,
            logging_steps=5,
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            include_num_input_tokens_seen=True,
        )
        trainer = Trainer(GPT2LMHeadModel(config), arguments, train_dataset=rows)
        trainer.train(resume_from_checkpoint=epochs == 5)
    trainer.save_state()
    return folder


def test_a_checkpoint(ask, output):
    """Three flushed passes of 50 ÷ 8: 7 steps each, 21 in all."""
    found = ask(output / "checkpoint-21", *CLAIMS, "--epochs", "3", "--global-batch", "8", "--sequence-length", "8")
    assert found["verdict"] == "consistent"
    named = found["by_name"]
    assert (named["steps"]["derived"], named["samples"]["derived"], named["devices"]["derived"]) == ("21", "150", "1")
    assert named["tokens for a position"]["derived"] == "1"
    assert any("optimizer.pt" in note and "opened" in note for note in found["notes"])


def test_wrong_devices(ask, output):
    assert ask(output / "checkpoint-21", *CLAIMS[:4], "--devices", "8", code=1)["by_name"]["devices"]["derived"] == "1"


def test_an_output_folder_that_was_resumed(ask, tell, output):
    found = ask(output, *CLAIMS, "--epochs", "5")
    assert found["verdict"] == "consistent"
    assert [(one["first_step"], one["last_step"]) for one in found["segments"]] == [(1, 20), (21, 35)]
    assert "tokens_per_second" not in found["by_name"]
    assert any("resumed" in note for note in found["notes"])
    assert "1 restart" in tell(output)


def test_throughput_of_a_run_in_one_piece(ask, output, tmp_path):
    state = json.loads((output / "checkpoint-21" / "trainer_state.json").read_text())
    state["log_history"].append({"step": 21, "epoch": 3.0, "train_runtime": 12.0, "train_samples_per_second": 12.5})
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps(state))
    found = ask(path, *CLAIMS, "--tokens-per-second", "100")
    assert (found["by_name"]["tokens_per_second"]["derived"], found["verdict"]) == ("100", "consistent")


def test_checkpoints_that_tell_one_step_otherwise(ask, write_state):
    """Steps 21 to 30 were made, lost, and made again."""

    def rows(losses):
        return [{"step": step, "epoch": step / 50, "loss": loss, "learning_rate": 0.1} for step, loss in losses.items()]

    write_state("checkpoint-30", global_step=30, log_history=rows({10: 3.0, 20: 2.0, 30: 1.5}))
    path = write_state("checkpoint-40", global_step=40, log_history=rows({10: 3.0, 20: 2.0, 30: 1.4, 40: 1.0}))
    found = ask(path.parent.parent)
    assert found["overlaps"] == [{"first_step": 21, "last_step": 30}]
    assert found["read"]["steps"]["value"] == "40"


def test_a_pickle_is_never_loaded(ask, write_state, tmp_path):
    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "exploded",)

    path = write_state("checkpoint-1", max_steps=1)
    for name in ("training_args.bin", "optimizer.pt", "rng_state.pth", "scheduler.pt"):
        (path.parent / name).write_bytes(pickle.dumps(Bomb()))
    assert ask(path.parent)["kind"] == "hf-trainer"
    for name in ("training_args.bin", "optimizer.pt"):
        assert "never opened" in ask(path.parent / name, code=2)["rule"]
    assert not (tmp_path / "exploded").exists()
    pickle.loads((path.parent / "optimizer.pt").read_bytes())
    assert (tmp_path / "exploded").exists(), "the bomb works, so not exploding meant something"


@pytest.mark.parametrize(
    ("text", "line", "field", "message"),
    [
        ('{"global_step": 5,\n "log_history": [', 2, "asked", "not JSON"),
        ('{"a": 1}', 1, "rule", "it has no global_step and log_history"),
        ('{"global_step": -1, "log_history": []}', 1, "rule", "global_step must be a whole number"),
        ('{"global_step": true, "log_history": {}}', 1, "rule", "global_step must be a whole number"),
        ('{"global_step": 1, "log_history": [' + "[" * 200_000, 1, "rule", "nested too deeply"),
        ('{"global_step": ' + "9" * 5000 + ', "log_history": []}', 1, "asked", "not JSON that can be read"),
        ("\xff\xfe{", None, "asked", "neither a finished run nor a claim"),
    ],
    ids=["half", "another", "below zero", "bool", "deep", "gigantic", "bytes"],
)
def test_damaged_states(ask, tmp_path, text, line, field, message):
    path = tmp_path / "trainer_state.json"
    path.write_bytes(text.encode("latin-1"))
    error = ask(path, code=2)
    assert message in error[field]
    assert error["place"] == (f"{path}:{line}" if line else str(path))


def test_odd_values_are_left_out(ask, write_state):
    path = write_state(
        global_step=5,
        max_steps=10**50,
        epoch=float("nan"),
        num_train_epochs="three",
        train_batch_size=-2,
        log_history=[None, 3, {"loss": 1}, {"loss": 1, "step": "x"}, {"loss": 1, "step": 5, "epoch": {}}],
    )
    assert ask(path)["read"].keys() == {"steps"}


def test_one_damaged_checkpoint_of_several(ask, write_state):
    write_state("checkpoint-1").write_text("{")
    path = write_state("checkpoint-2", global_step=2)
    found = ask(path.parent.parent)
    assert found["read"]["steps"]["value"] == "2"
    assert any("checkpoint-1/trainer_state.json:1: not JSON" in note for note in found["notes"])


def test_a_resume_that_only_the_pace_shows(ask, write_state):
    """15 steps in the last call of 35: dividing all tokens by its seconds would be too much."""
    summary = {"step": 35, "train_runtime": 10.0, "train_samples_per_second": 10.0, "train_steps_per_second": 1.5}
    path = write_state(global_step=35, num_input_tokens_seen=2000, log_history=[summary])
    assert "tokens_per_second" not in ask(path)["by_name"]
    summary["train_steps_per_second"] = 3.5
    path = write_state(global_step=35, num_input_tokens_seen=2000, log_history=[summary])
    assert ask(path)["by_name"]["tokens_per_second"]["derived"] == "200"


def test_claims_for_one_epoch_are_multiplied(ask, tell, write_state):
    path = write_state(global_step=66, epoch=3.0, num_train_epochs=3, max_steps=66)
    assert ask(path, "--steps", "22 steps per epoch", "--epochs", 3)["verdict"] == "consistent"
    text = tell(path, "--steps", "22 steps per epoch", "--epochs", 3)
    assert "22 steps per epoch × " in text
    assert " 3 = 66 steps\n" in text
    assert ask(path, "--steps", "23 steps per epoch", "--epochs", 3, code=1)["verdict"] == "inconsistent"
    assert ask(path, "--steps", "22 steps per epoch", code=2)["fixes"] == ["giving --epochs too"]
    assert "4,096 is no number of samples" in ask(path, "--global-batch", "32x128", code=2)["rule"]
    assert "32,720 is no number of devices" in ask(path, "--devices", "8x4090", code=2)["rule"]


def rated(
    write_state,
    *,
    steps=5000,
    planned=5000,
    rate=3.232,
    pace=0.065,
    epochs=38.16793893129771,
    seconds=77350.9963,
    **more,
):
    """The end of a run at 3.232 samples a second: 249,998 ± 39 samples, so 50 a step."""
    summary = {
        "step": steps,
        "epoch": 38.17,
        "train_loss": 0.0189,
        "train_runtime": seconds,
        "train_samples_per_second": rate,
    }
    if pace is not None:
        summary["train_steps_per_second"] = pace
    return write_state(
        epoch=epochs,
        global_step=steps,
        max_steps=planned,
        num_train_epochs=39,
        log_history=[{"epoch": 0.19, "learning_rate": 4.6e-07, "loss": 0.3048, "step": 25}, summary],
        **more,
    )


@pytest.mark.parametrize(
    ("batch", "verdict"), [(50, "consistent"), (49, "inconsistent"), (51, "inconsistent"), (100, "inconsistent")]
)
def test_a_batch_is_held_against_the_logged_rate(ask, write_state, batch, verdict):
    """The logged rate of a public run whose card says a batch of 50."""
    code = int(verdict == "inconsistent")
    path = rated(write_state)
    found = ask(path, "--global-batch", batch, "--steps", 5000, code=code)
    assert found["verdict"].startswith(verdict)
    assert float(found["by_name"]["global batch by the logged rate"]["value"]) == pytest.approx(50, abs=0.01)
    layout = ask(path, "--per-device", batch, "--gradient-accumulation", 1, "--devices", 1, "--steps", 5000, code=code)
    assert layout["verdict"].startswith(verdict), "a layout makes a batch too"


def test_samples_are_held_against_the_logged_rate(ask, write_state):
    path = rated(write_state)
    assert ask(path, "--samples", "250k")["verdict"].startswith("consistent")
    assert ask(path, "--samples", "500k", code=1)["verdict"] == "inconsistent"


@pytest.mark.parametrize(
    "told",
    [
        {"rate": 0.065, "pace": None},  # until 4.6 the rate was of steps
        {"steps": 4000, "planned": 5000},  # stopped early: the rate is that of the plan, until 5.18
        {"pace": 0.13},  # resumed: the steps of one start alone
    ],
    ids=["old", "stopped", "resumed"],
)
def test_a_rate_of_other_steps_contradicts_nothing(ask, write_state, told):
    found = ask(rated(write_state, **told), "--global-batch", 100)
    assert found["verdict"] != "inconsistent"
    assert "global batch by the logged rate" not in found["by_name"]


def test_a_rate_of_passes_contradicts_no_right_batch(ask, write_state):
    """N × epochs ÷ seconds, where each pass ends with a short step, or drops it."""
    for samples in range(97, 145, 3):
        for steps_a_pass in {-(-samples // 16), samples // 16}:
            steps, seconds = 3 * steps_a_pass, 1000.0
            path = rated(
                write_state,
                steps=steps,
                planned=steps,
                epochs=3.0,
                seconds=seconds,
                rate=round(3 * samples / seconds, 3),
                pace=round(steps / seconds, 3),
            )
            assert ask(path, "--global-batch", 16)["verdict"] != "inconsistent", (samples, steps)
