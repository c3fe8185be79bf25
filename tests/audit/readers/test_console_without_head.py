"""A Trainer's console at the usual log level: rows, bars and the summary, and nothing under `Running training`.

698 samples, 2 devices, 4 samples each, 2 micro-steps a step: 44 steps a pass, 132 in three.
"""

import pytest

STEPS, PER_PASS = 132, 44
MAPPED = "Map: 100%|██████████| 698/698 [00:00<00:00, 900.00 examples/s]\n"


def row(step, *, version=5, epoch=None):
    epoch = step / PER_PASS if epoch is None else epoch
    if version == 4:
        return f"{{'loss': {4 - step / 132:.4f}, 'grad_norm': 1.2, 'learning_rate': 4e-05, 'epoch': {epoch:.2f}}}\n"
    return f"{{'loss': '{4 - step / 132:.4g}', 'grad_norm': '1.2', 'learning_rate': '4e-05', 'epoch': '{epoch:.4g}'}}\n"


def bar(step, of=STEPS):
    return f"\r {100 * step // of}%|███       | {step}/{of} [00:10<00:10,  1.98it/s]"


def rows(until, *, of=STEPS, version=5):
    """As tqdm.write prints them: the bar, the row, and the same bar again."""
    return "".join(
        bar(step, of) + ("\r       \r" + row(step, version=version) + bar(step, of)) * (step % 10 == 0)
        for step in range(1, until + 1)
    )


def summary(steps=STEPS):
    return (
        f"\r{{'train_runtime': '101.2', 'train_samples_per_second': '{2094 / 101.2:.4g}', "
        f"'train_steps_per_second': '{steps / 101.2:.4g}', 'train_loss': '2.1', 'epoch': '3'}}\n"
        + bar(steps, steps)
        + "\n"
    )


@pytest.fixture
def log(tmp_path):
    def write(text):
        path = tmp_path / "train.log"
        path.write_text(text)
        return path

    return write


def values(found):
    return {name: entry["value"] for name, entry in found["record"].items()}


@pytest.mark.parametrize("version", [4, 5])
def test_rows_between_bars(ask, log, version):
    found = ask(log(MAPPED + rows(STEPS, version=version) + summary()))
    assert found["kind"] == "hf-console"
    read = values(found)
    assert (read["steps"], read["planned_steps"], read["epochs"]) == (132, 132, 3)
    assert found["by_name"]["global_batch"]["value"] == 16
    assert any("are not in it" in note for note in found["notes"])


def test_claims_are_compared(ask, log):
    path = log(rows(STEPS) + summary())
    right = ("--corpus", "698 samples", "--devices", 2, "--per-device", 4, "--gradient-accumulation", 2, "--epochs", 3)
    assert ask(path, *right)["verdict"].startswith("consistent")
    assert ask(path, "--steps", 264, code=1)["verdict"] == "inconsistent"
    assert ask(path, "--global-batch", 32, code=1)["verdict"] == "inconsistent"


def test_a_run_that_was_killed(ask, log):
    found = ask(log(rows(75)), "--epochs", 3)
    read = values(found)
    assert (read["steps"], read["planned_steps"]) == (75, 132)
    assert found["verdict"] == "underdetermined"
    assert found["notes"][0] == "It stopped at step 75 of 132, or its files end before it did."


def test_standard_output_alone_has_no_bars(ask, log):
    plain = "".join(row(step) for step in range(10, STEPS, 10))
    read = values(ask(log(plain + summary().strip().splitlines()[0])))
    assert (read["steps"], read["planned_steps"], read["epochs"]) == (132, 132, 3)
    found = ask(log(plain))
    assert "steps" not in values(found)
    assert found["by_name"]["epochs"]["value"] == pytest.approx(130 / 44, abs=0.001)


def test_bars_of_something_else_are_none_of_the_training(ask, log):
    """A bar counts if it stands before and after a row: not that of a map, nor of an evaluation."""
    evaluation = "\r 50%|█████     | 5/11 [00:01<00:01,  4.00it/s]"
    read = values(ask(log(MAPPED + bar(9) + "\r" + row(10) + evaluation + MAPPED)))
    assert not {"steps", "planned_steps"} & set(read)


def test_of_two_trainings_the_last_one_is_read(ask, log):
    found = ask(log(rows(STEPS) + summary() + rows(176, of=176) + summary(176)))
    assert values(found)["steps"] == values(found)["planned_steps"] == 176
    assert any("2 trainings begin at step 0" in note for note in found["notes"])


def test_a_dictionary_with_a_loss_alone_is_no_row_of_a_trainer(ask, log):
    assert "neither a finished run" in ask(log("{'loss': 3.1, 'epoch': 1}\n" * 5), code=2)["asked"]
