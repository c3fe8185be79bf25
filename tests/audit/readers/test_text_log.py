"""Logs of Megatron-LM, GPT-NeoX and OLMo."""

import tracemalloc

from dist_epochs.audit.detect.folder import read_finished_run

LINE = (
    " iteration {0:8d}/  500000 | consumed samples: {1:12d} | elapsed time per iteration (ms): 1000.0 | "
    "global batch size: {2:5d} | lm loss: 1.0E+00 |\n"
)


def test_megatron(ask, logs):
    found = ask(logs / "megatron.log", "--devices", "16xH100", "--mfu", "34.4%")
    assert (found["kind"], found["verdict"]) == ("megatron", "consistent")
    assert found["read"]["devices"] == {"value": "16", "where": "megatron.log:12: world_size"}
    named = found["by_name"]
    assert (named["gradient_accumulation"]["derived"], named["tokens"]["derived"]) == ("32", str(3072 * 4096))
    assert named["samples"]["agreement"] == "exact"
    assert named["tokens_per_second"]["value"] == 1024 * 4096 / 20
    assert {
        "Iterations skipped, without an update: 1. Their samples are drawn and not trained.",
        "Iterations whose loss was no number: 1.",
    } <= set(found["notes"])


def test_an_old_fork(ask, logs):
    found = ask(logs / "megatron_old.log", "--sequence-length", "2048")
    assert found["verdict"] in ("consistent", "consistent-with-rounding")
    assert found["by_name"]["tokens"]["derived"] == str(6144 * 2048)
    assert found["by_name"]["samples_per_second"]["value"] == 512 / 52.7281


def test_neox(ask, logs):
    found = ask(logs / "neox.log", "--devices", "8xA100 40GB SXM", "--precision", "fp16", "--mfu", "14.5%")
    assert (found["kind"], found["verdict"]) == ("gpt-neox", "consistent")
    assert found["by_name"]["devices"]["derived"] == "8"
    assert found["read"]["pipeline_parallel"]["value"] == "1"
    assert ask(logs / "neox.log", "--devices", "16", code=1)["by_name"]["devices"]["agreement"] == "contradicts"


def test_a_layout_that_does_not_divide(ask, tmp_path):
    path = tmp_path / "a.log"
    path.write_text("  micro_batch_size .... 3\n  world_size ..... 8\n" + LINE.format(1, 32, 32))
    check = ask(path, code=1)["by_name"]["gradient_accumulation"]
    assert (check["derived"], check["stated"]) == ("4/3", "a whole number")


def test_a_batch_that_ramps_up(ask, tmp_path):
    """Megatron's --rampup-batch-size: consumed samples are the sum over the levels, and no steps × batch."""
    lines, drawn = [], 0
    for step in range(1, 101):
        batch = min(64, 16 + 8 * (step // 10))
        drawn += batch
        lines.append(LINE.format(step, drawn, batch))
    path = tmp_path / "ramp.log"
    path.write_text("".join(lines))
    found = ask(path)
    assert found["verdict"] in ("consistent", "consistent-with-rounding")
    assert found["by_name"]["samples_between_lines"]["derived"] == str(drawn - 16)
    assert found["by_name"]["samples"]["derived"] == str(drawn)
    assert found["by_name"]["samples"]["agreement"] is None, "as logged, and no steps × batch"
    assert any("The batch changes: 16 to 64" in note for note in found["notes"])
    path.write_text("".join(lines).replace(f"{drawn:12d}", f"{drawn + 999:12d}"))
    assert ask(path, code=1)["by_name"]["samples_between_lines"]["agreement"] == "contradicts"


def test_gaps_and_lines_that_two_ranks_print(ask, tmp_path):
    path = tmp_path / "a.log"
    path.write_text("".join(LINE.format(step, step * 4, 4) * 2 for step in (10, 20, 30, 70, 80)))
    found = ask(path)
    assert found["gaps"] == [{"first_step": 31, "last_step": 60}]
    assert len(found["segments"]) == 1
    assert any("Lines that repeat the step before them: 5" in note for note in found["notes"])


def test_a_line_that_was_cut_counts_to_its_last_bar(ask, tmp_path):
    path = tmp_path / "a.log"
    path.write_text(
        LINE.format(1, 4, 4) + LINE.format(2, 8, 4) + " iteration        3/  500000 | consumed samples:          1"
    )
    found = ask(path)
    assert found["read"]["steps"]["value"] == "3"
    assert "samples" not in found["read"]
    path.write_bytes(
        LINE.format(1, 4, 4).encode() + b"\0" * 5000 + LINE.format(2, 8, 4).encode("utf-16-le") + b"\xff\xfe\n"
    )
    assert ask(path)["read"]["samples"]["value"] == "8"


def test_changes_between_starts_are_told(ask, tmp_path):
    path = tmp_path / "a.log"
    path.write_text(
        "  global_num_gpus ......... 8....updated\n"
        + LINE.format(1, 4, 4)
        + "  global_num_gpus ......... 16....updated\n"
        + LINE.format(2, 8, 4)
    )
    found = ask(path)
    assert any("devices changes between starts: 8, then 16" in note for note in found["notes"])
    assert len(found["segments"]) == 2


def test_memory_does_not_grow_with_the_log(tmp_path):
    path = tmp_path / "long.log"
    with path.open("w") as file:
        file.writelines(LINE.format(step, step * 4, 4) for step in range(1, 20_001))
    tracemalloc.start()
    run = read_finished_run(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert run.numbers["steps"].value == 20_000
    assert peak < 1 << 20 < path.stat().st_size


def test_a_log_that_begins_in_the_middle_contradicts_nothing(ask, tmp_path):
    """Batches before it are not known: a ramp may have drawn fewer samples."""
    path = tmp_path / "a.log"
    path.write_text("".join(LINE.format(step, step * 64 - 5000, 64) for step in range(1000, 1010)))
    found = ask(path)
    assert found["verdict"] == "consistent"
    assert any("begins at step 1,000" in note for note in found["notes"])
    path.write_text(
        "".join(LINE.format(step, step * 64 - 5000, 64) for step in range(1, 1010) if step * 64 > 5000)
        + LINE.format(1010, 9, 64)
    )
    assert ask(path, code=1)["verdict"] == "inconsistent"


def test_a_length_that_grows_makes_no_tokens(ask, logs, tmp_path):
    text = (logs / "megatron_old.log").read_text()
    assert ask(logs / "megatron_old.log")["by_name"]["tokens"]["agreement"] == "exact"
    path = tmp_path / "a.log"
    path.write_text(text.replace("actual seqlen:  2048", "actual seqlen:  1024", 1))
    found = ask(path)
    assert found["by_name"]["tokens"]["agreement"] is None, "as logged, and no samples × length"
    assert any("1,024 to 2,048 positions" in note for note in found["notes"])
