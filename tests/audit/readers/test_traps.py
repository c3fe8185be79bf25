"""What the records of other trainers say differently from what it seems."""

import json
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parent / "samples"


def values(found):
    return {name: entry["value"] for name, entry in found["record"].items()}


@pytest.fixture
def results(tmp_path):
    def write(**keys):
        path = tmp_path / "all_results.json"
        told = {"epoch": 3.0, "train_loss": 1.5, "train_runtime": 1000.0, "train_samples": 3200,
                "train_samples_per_second": 9.6, "train_steps_per_second": 0.3}  # fmt: skip
        path.write_text(json.dumps({key: value for key, value in (told | keys).items() if value is not None}, indent=1))
        return path

    return write


def test_results_tell_the_batch(ask, results):
    found = ask(results(), "--global-batch", 32, "--steps", 300)
    assert found["verdict"].startswith("consistent")
    assert values(found)["global_batch"] == 32
    assert ask(results(), "--global-batch", 64, code=1)["verdict"] == "inconsistent"


@pytest.mark.parametrize(
    ("name", "ends"),
    [("hf-results/v4.44-all_results.json", (10, 18)), ("tfevents/events.out.tfevents.1795762075.vm.6438.0", (8, 12))],
)
def test_a_batch_that_is_only_known_between_ends_is_no_number_of_the_record(ask, name, ends):
    """A pass may end with a short step: samples ÷ steps are 12.33 or 9.25, and no step has that many."""
    found = ask(SAMPLES / name)
    derived = found["by_name"]["global_batch"]
    assert (derived["low"], derived["high"]) == ends
    assert "global_batch" not in found["record"]


def test_results_of_a_run_that_stopped_early_tell_no_steps(ask, results):
    """Half of the plan was made; until 5.18 its rates are those of the whole plan."""
    found = ask(results(epoch=1.5), "--steps", 150, "--epochs", 1.5)
    assert found["verdict"] != "inconsistent"
    assert "steps" not in values(found)
    assert values(found)["planned_steps"] == 300


def test_rows_before_packing_are_no_corpus(ask, results):
    """7,473 rows in 698 samples, three times: 66 steps of 32."""
    path = results(train_samples=7473, train_runtime=100.0, train_samples_per_second=20.94, train_steps_per_second=0.66)
    found = ask(path, "--corpus", "698 samples", "--epochs", 3, "--steps", 66, "--global-batch", 32)
    assert found["verdict"].startswith("consistent")
    assert any("rows before packing" in note for note in found["notes"])


def test_the_last_call_of_a_run_that_went_on_is_not_the_run(ask, results):
    """Since 5.19 the rates are of the steps of one call: 100 of 300."""
    path = results(train_runtime=300.0, train_samples_per_second=10.667, train_steps_per_second=0.333)
    assert ask(path, "--steps", 300, "--corpus", "3200 samples")["verdict"] != "inconsistent"


def test_what_passes_leave_out_is_no_stop(ask, results):
    """Told 14 steps of 16 over 100 rows: 2.24 times the rows by its rates, and epoch 2. With drop_last 12 steps."""
    for steps in (14, 12):
        path = results(epoch=2.0, train_samples=100, train_runtime=10.0, train_steps_per_second=steps / 10,
                       train_samples_per_second=steps * 1.6)  # fmt: skip
        assert ask(path, "--steps", steps, "--global-batch", 16, "--epochs", 2)["verdict"].startswith("consistent")


@pytest.mark.parametrize(
    "keys", [{"train_loss": 0.0}, {"train_loss": 0}, {"train_samples_per_second": 0.0, "train_loss": 0.0}]
)
def test_results_of_a_call_that_made_no_step(ask, results, keys):
    found = ask(results(**keys), "--global-batch", 64)
    assert found["verdict"] != "inconsistent"
    assert (values(found)["rate_usable"], values(found)["steps_of_this_call"]) == (False, 0)


@pytest.mark.parametrize(
    "text",
    [
        '{"train_runtime": 1.0, "train_loss": 1.',
        '{"train_runtime": "x", "train_loss": NaN}',
        '{"train_runtime": 1e999, "train_loss": -3}',
    ],
)
def test_results_that_are_damaged(ask, tmp_path, text):
    path = tmp_path / "train_results.json"
    path.write_text(text)
    if text.endswith("."):
        assert ask(path, code=2)["place"].startswith(str(path))
    else:
        assert "steps" not in values(ask(path))


def card(*bullets, table=""):
    head = "# x\n\nThe following hyperparameters were used during training:\n"
    return head + "".join(f"- {bullet}\n" for bullet in bullets) + "\n### Training results\n\n" + table


def test_a_card_without_devices_is_of_one(ask, tmp_path):
    path = tmp_path / "README.md"
    path.write_text(card("train_batch_size: 16", "num_epochs: 3.0"))
    found = values(ask(path))
    assert (found["devices"], found["gradient_accumulation"], found["global_batch"]) == (1, 1, 16)
    path.write_text(
        card(
            "train_batch_size: 16",
            "gradient_accumulation_steps: 4",
            "total_train_batch_size: 64",
            "training_steps: 500",
        )
    )
    found = values(ask(path))
    assert (found["devices"], found["global_batch"], found["planned_steps"]) == (1, 64, 500)


def test_a_card_of_one_process_that_saw_several_devices(ask, tmp_path):
    """nn.DataParallel: 16 are 4 on each of 4 devices."""
    path = tmp_path / "README.md"
    path.write_text(card("train_batch_size: 16", "num_epochs: 3.0"))
    found = ask(path, "--devices", 4)
    assert found["verdict"] == "consistent-only-if"
    assert "one process saw 4 devices" in found["only_if"]


def test_a_card_that_was_edited_says_so(ask, tmp_path):
    path = tmp_path / "README.md"
    path.write_text(card("train_batch_size: 16", "num_devices: 4", "total_train_batch_size: 128", "num_epochs: 3"))
    assert any("the card was edited" in note for note in ask(path, code=1)["notes"])


def test_a_card_brackets_the_corpus(ask, tmp_path):
    """Steps of 64 over 6,400 to 6,463 rows; a claim outside contradicts."""
    table = "| Training Loss | Epoch | Step |\n|:---:|:---:|:---:|\n| 1.0 | 0.5 | 50 |\n| 1.0 | 1.0 | 100 |\n"
    path = tmp_path / "README.md"
    path.write_text(card("train_batch_size: 64", "num_epochs: 1", table=table))
    assert ask(path, "--corpus", "6400 samples")["verdict"].startswith("consistent")
    assert ask(path, "--corpus", "64000 samples", code=1)["verdict"] == "inconsistent"


ROWS = "| Epoch | Step |\n|:---:|:---:|\n"


def test_a_card_whose_epochs_go_back_is_of_a_stream(ask, tmp_path):
    path = tmp_path / "README.md"
    table = ROWS + "| 0.05 | 5000 |\n| 0.01 | 6000 |\n"
    path.write_text(card("train_batch_size: 64", "training_steps: 10000", table=table))
    found = ask(path, "--corpus", "1M samples")
    assert found["verdict"] != "inconsistent"
    assert "steps_per_epoch" not in found["record"]
    assert "corpus" not in found["record"]


def test_a_card_whose_pass_is_as_long_as_its_plan_may_be_of_a_stream(ask, tmp_path):
    path = tmp_path / "README.md"
    path.write_text(
        card("train_batch_size: 64", "training_steps: 10000", table=ROWS + "| 0.5 | 5000 |\n| 1.0 | 10000 |\n")
    )
    assert ask(path, "--corpus", "100k samples")["verdict"] == "consistent-only-if"
    assert ask(path, "--corpus", "640k samples")["verdict"].startswith("consistent")


def log(tmp_path, *rows):
    path = tmp_path / "trainer_log.jsonl"
    path.write_text(
        "".join(
            json.dumps({"current_steps": step, "total_steps": 40, "epoch": step / 20, "elapsed_time": time}) + "\n"
            for step, time in rows
        )
    )
    return path


def test_a_restart_of_llama_factory_goes_on_in_the_same_file(ask, tmp_path):
    path = log(tmp_path, (10, "0:10:00"), (20, "0:20:00"), (30, "0:30:00"), (30, "0:09:00"), (40, "0:19:00"))
    found = ask(path)
    assert [(one["first_step"], one["last_step"]) for one in found["segments"]] == [(1, 30), (30, 40)]
    assert found["overlaps"] == [{"first_step": 30, "last_step": 30}]
    assert "seconds" not in found["record"]
    assert values(found)["steps"] == 40


def test_two_writers_of_llama_factory_are_no_restart(ask, tmp_path):
    path = log(
        tmp_path, (10, "0:10:00"), (10, "0:10:01"), (20, "0:20:00"), (30, "0:30:00"), (20, "0:30:05"), (40, "0:40:00")
    )
    found = ask(path)
    assert (found["overlaps"], len(found["segments"])) == ([], 1)
    assert any("several processes" in note for note in found["notes"])


def test_a_line_that_is_cut_is_passed_over(ask, tmp_path):
    path = log(tmp_path, (10, "0:10:00"), (20, "0:20:00"))
    path.write_text(path.read_text() + '{"current_steps": 30, "total_st')
    found = ask(path, "--steps", 30)
    assert values(found)["steps"] == 20
    assert found["verdict"] == "underdetermined", "the run may have gone on"


def csv_of(tmp_path, *rows):
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,step,train_loss,val_loss\n" + "".join(f"{row}\n" for row in rows))
    return path


def test_steps_of_lightning_after_the_last_row(ask, tmp_path):
    """Every 50th step is logged: 150 to 199 may have been made."""
    path = csv_of(tmp_path, *(f"0,{step},1.0," for step in (49, 99, 149)))
    found = ask(path, "--steps", 180)
    assert found["verdict"].startswith("consistent")
    assert (values(found)["steps"], values(found)["logged_every"]) == (150, 50)
    assert ask(path, "--steps", 250, code=1)["verdict"] == "inconsistent"


def test_lightning_evaluated_inside_a_pass_tells_no_pace(ask, tmp_path):
    path = csv_of(tmp_path, "0,0,1.0,", "0,4,,0.5", "0,5,1.0,", "1,10,,0.5", "1,13,1.0,", "1,17,,0.5")
    assert "steps_per_epoch" not in ask(path)["record"]


@pytest.mark.parametrize(
    "text", ["epoch,step\n", "epoch,step,loss\nx,y,z\n", "epoch,step,loss\n0,99999999999999999999,1\n"]
)
def test_rows_of_lightning_without_a_step(ask, tmp_path, text):
    path = tmp_path / "metrics.csv"
    path.write_text(text)
    assert "no row" in ask(path, code=2)["asked"]


def test_hyperparameters_that_run_code_are_never_loaded(ask, tmp_path):
    csv_of(tmp_path, "0,0,1.0,")
    (tmp_path / "hparams.yaml").write_text("a: !!python/object/apply:os.system ['false']\nbatch_size: 8\n")
    assert values(ask(tmp_path))["hparams_batch_size"] == 8


NANOGPT = "tokens per iteration will be: 1,024\n"
SETTINGS = "Overriding: block_size = 64\nOverriding: batch_size = 4\nOverriding: gradient_accumulation_steps = 4\n"


def nanogpt(tmp_path, ranks, *steps):
    lines = "".join(f"iter {step}: loss 1.0000, time 10.00ms, mfu 1.00%\n" for step in steps)
    path = tmp_path / "a.log"
    path.write_text(SETTINGS * ranks + NANOGPT * ranks + "step 0: train loss 1.0, val loss 1.0\n" + lines)
    return path


def test_nanogpt_makes_one_iteration_more_than_it_was_told(ask, tmp_path):
    found = ask(nanogpt(tmp_path, 1, 0, 1, 2))
    assert values(found)["steps"] == 3
    assert any("max_iters + 1" in note for note in found["notes"])


def test_ranks_of_nanogpt_are_counted(ask, tmp_path):
    found = ask(nanogpt(tmp_path, 2, 0, 1, 2))
    assert (values(found)["devices"], values(found)["gradient_accumulation"]) == (2, 2)
    assert (values(found)["steps"], values(found)["tokens"], values(found)["global_batch"]) == (3, 3072, 16)
    assert ask(tmp_path / "a.log", "--devices", 4, code=1)["verdict"] == "inconsistent"


def test_one_rank_of_nanogpt_may_stand_for_several(ask, tmp_path):
    """Only the first rank's output was kept."""
    path = nanogpt(tmp_path, 1, 0, 1, 2)
    assert ask(path, "--devices", 4)["verdict"] != "inconsistent"
    assert ask(path, "--devices", 8, code=1)["verdict"] == "inconsistent"


def test_a_restart_of_nanogpt(ask, tmp_path):
    path = nanogpt(tmp_path, 1, 0, 1, 2, 3, 4)
    path.write_text(
        path.read_text() + NANOGPT + "".join(f"iter {step}: loss 1.0, time 10.00ms, mfu 1.0%\n" for step in (3, 4, 5))
    )
    found = ask(path)
    assert found["overlaps"] == [{"first_step": 4, "last_step": 5}]
    assert values(found)["steps"] == 6


def test_modded_nanogpt(ask, tmp_path):
    path = tmp_path / "a.log"
    path.write_text(
        "".join(f"step:{step}/100 train_loss:3.1 train_time:{step * 9}ms step_avg:9.00ms\n" for step in range(51))
    )
    assert (values(ask(path))["steps"], values(ask(path))["planned_steps"]) == (50, 100)


def test_deepspeed_with_accumulation(ask, tmp_path):
    """Four micro-steps a step, 2 s a step at 32 samples a second: a batch of 64."""
    lines = "".join(
        f"[2024-01-01 00:00:{at * 20:02d},000] [INFO] [timer.py:1:stop] "
        f"epoch=0/micro_step={at * 40}/global_step={at * 10}, "
        f"RunningAvgSamplesPerSec=32.0, CurrSamplesPerSec=32.1, MemAllocated=1GB\n"
        for at in (0, 1, 2)
    )
    path = tmp_path / "a.log"
    path.write_text(lines)
    found = ask(path, "--per-device", 2, "--devices", 8)
    assert (values(found)["gradient_accumulation"], found["verdict"]) == (4, "consistent-with-rounding")
    assert ask(path, "--per-device", 2, "--devices", 16, code=1)["verdict"] == "inconsistent"


def test_lines_of_deepspeed_beside_those_of_a_trainer(ask, tmp_path):
    """The console tells more."""
    console = (SAMPLES / "hf-console/v5.24-accumulate3.log").read_text()
    path = tmp_path / "a.log"
    path.write_text("step=10, skipped=6, lr=[1], mom=[1]\n" + console + "step=20, skipped=6, lr=[1], mom=[1]\n")
    assert ask(path)["kind"] == "hf-console"


def test_an_event_file_is_read_to_its_damage(ask, tmp_path):
    content = (SAMPLES / "tfevents/events.out.tfevents.1795762075.vm.6438.0").read_bytes()
    path = tmp_path / "events.out.tfevents.1"
    at = len(content) * 4 // 5
    path.write_bytes(content[:at] + bytes(40) + content[at + 40 :])
    found = ask(path)
    assert 1 <= values(found)["steps"] < 8
    assert any("read up to its damage" in note for note in found["notes"])


def test_a_summary_without_its_configuration(ask, tmp_path):
    path = tmp_path / "wandb-summary.json"
    path.write_text('{"train/global_step": 40, "train/epoch": 0.1, "_step": 39}')
    found = ask(path)
    assert values(found)["steps"] == 40
    assert any("config.yaml" in note for note in found["notes"])
    path.write_text('{"loss": 1.0, "_step": 39}')
    assert "counts optimizer steps" in ask(path, code=2)["asked"]


def test_record_has_ends_file_and_line(ask, logs):
    entry = ask(logs / "megatron.log", "--devices", "16")["record"]["devices"]
    assert entry == {
        "value": 16, "low": 16, "high": 16, "file": str(logs / "megatron.log"), "line": 12,
        "how": "megatron.log:12: world_size",
    }  # fmt: skip


def test_what_is_claimed_never_enters_the_record(ask, write_state):
    path = write_state(global_step=66, epoch=3.0, max_steps=66, num_train_epochs=3)
    alone, claimed = ask(path), ask(path, "--corpus", "698 samples", "--global-batch", 32, "--devices", 8)
    assert alone["record"] == claimed["record"]
