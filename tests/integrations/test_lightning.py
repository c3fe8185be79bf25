"""Lightning's real Trainer with the callback: exact against a hook in the model's forward, and no loss changed.

Needs `pip install lightning`; skipped without it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dist_epochs.ledger.reconcile import read_run

pl = pytest.importorskip("lightning.pytorch")
pytestmark = [pytest.mark.lightning, pytest.mark.filterwarnings("ignore")]
jobs = pytest.importorskip("tests.integrations.lightning_jobs")
fit, Module = jobs.fit, jobs.Module


def recorded(out):
    """Micro-steps, samples and tokens of the ledger, as `Module.given` has them; then the rest."""
    result = read_run(out / "run").to_json()
    return (result["micro_steps"], result["samples"], result["tokens"]), result


def warned(result):
    return {warning["rule"] for warning in result["warnings"]}


@pytest.mark.parametrize(
    ("samples", "accumulation", "steps", "warnings"),
    [(22, 4, 6, {"short-window"}), (22, 3, 6, set()), (20, 1, 15, set()), (21, 2, 9, set())],
)
def test_several_passes_are_exact_and_change_no_loss(tmp_path, capsys, samples, accumulation, steps, warnings):
    """Sanity checks and validation are in no count; the last window of a pass may be short."""
    module, trainer = fit(tmp_path, samples=samples, accumulate_grad_batches=accumulation)
    without, _ = fit(tmp_path, samples=samples, accumulate_grad_batches=accumulation, ledger=False)
    counts, result = recorded(tmp_path)
    assert module.losses == without.losses
    assert counts == module.given
    assert result["steps"]["applied"] == trainer.global_step == steps
    assert result["epochs"]["samples"] == trainer.current_epoch == 3
    assert [each["samples"] for each in result["loader_passes"]] == [samples] * 3
    assert (warned(result), result["status"]) == (warnings, "finished")
    assert f"dist_epochs: {steps} steps of {4 * accumulation} samples" in capsys.readouterr().err


def test_a_pass_left_in_the_middle_and_limited_passes(tmp_path):
    module, trainer = fit(tmp_path / "steps", max_steps=4)  # 2 steps a pass
    counts, result = recorded(tmp_path / "steps")
    assert (counts, result["steps"]["applied"], trainer.global_step) == (module.given, 4, 4)
    assert result["epochs"]["samples"] == 2
    module, _ = fit(tmp_path / "middle", max_steps=3)
    counts, result = recorded(tmp_path / "middle")
    assert (counts, result["steps"]["applied"]) == (module.given, 3)
    assert len(result["loader_passes"]) in (1, 2)  # the second pass was left
    module, _ = fit(tmp_path / "limited", limit_train_batches=3, accumulate_grad_batches=1)
    counts, result = recorded(tmp_path / "limited")
    assert (counts, result["steps"]["applied"]) == (module.given, 9)
    assert result["epochs"]["samples"] == pytest.approx(36 / 22)
    assert "padded-duplicates" not in warned(result)


class Refuses(Module):
    """Leaves the second pass before its third batch."""

    def on_train_batch_start(self, batch, index):
        return -1 if self.current_epoch == 1 and index == 2 else None


class WithoutLoss(Module):
    """Gives no loss for the second batch of each pass, and looks at no batch for it."""

    def training_step(self, batch, index):
        return None if index == 1 else super().training_step(batch, index)


class TwoOptimizers(Module):
    """Manual optimization: one optimizer after every second batch, the other right after it."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, index):
        self.manual_backward(self(batch))
        if index % 2:
            for optimizer in self.optimizers():
                optimizer.step()
                optimizer.zero_grad()

    def configure_optimizers(self):
        return [torch.optim.SGD([parameter], lr=0.1) for parameter in (self.net.table.weight, self.other)]

    def configure_model(self):
        self.other = getattr(self, "other", torch.nn.Parameter(torch.zeros(1)))


def test_batches_that_are_refused_are_in_no_count(tmp_path):
    module, trainer = fit(tmp_path, Refuses(), accumulate_grad_batches=2)
    counts, result = recorded(tmp_path)
    assert counts == module.given
    assert result["steps"]["applied"] == trainer.global_step == 3 + 1 + 3


@pytest.mark.parametrize(("accumulation", "applied", "skipped"), [(3, 6, 0), (1, 15, 3)])
def test_batches_without_a_loss_are_not_trained(tmp_path, accumulation, applied, skipped):
    """In a window with others they are left out; a window of them alone is a step that was skipped."""
    module, trainer = fit(tmp_path, WithoutLoss(), accumulate_grad_batches=accumulation)
    counts, result = recorded(tmp_path)
    assert counts == module.given
    assert (result["steps"]["applied"], result["steps"]["skipped"]) == (applied, skipped)
    assert trainer.global_step == applied + skipped


def test_two_optimizers_that_step_after_the_same_batches_are_one_step(tmp_path):
    module, trainer = fit(tmp_path, TwoOptimizers(), samples=24, accumulate_grad_batches=1)
    counts, result = recorded(tmp_path)
    assert counts == module.given
    assert (trainer.global_step, result["steps"]["applied"]) == (18, 9)


class Overflows(Module):
    """Its third batch of a pass has gradients that fp16 cannot hold."""

    def training_step(self, batch, index):
        return super().training_step(batch, index) * (float("inf") if index == 2 else 1)


def test_steps_that_fp16_skips_are_not_applied(tmp_path):
    """Lightning's global_step counts the step, and the weights do not have it."""
    half = pl.plugins.MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu", init_scale=16.0))
    module, trainer = fit(tmp_path, Overflows(), plugins=[half], accumulate_grad_batches=1)
    counts, result = recorded(tmp_path)
    assert (result["steps"]["applied"], result["steps"]["skipped"], trainer.global_step) == (15, 3, 18)
    assert counts[0] + 3 == module.given[0] == 18
    assert counts[1] + 12 == module.given[1]
    assert "skipped-steps" in warned(result)


def test_resuming_from_a_checkpoint(tmp_path):
    """Saved after step 4 of 6, which ends the second pass, and resumed there for two more passes."""
    saves = pl.callbacks.ModelCheckpoint(tmp_path, every_n_train_steps=4, filename="{step}")
    first, _ = fit(tmp_path, callbacks=[saves], enable_checkpointing=True)
    again, trainer = fit(tmp_path, ckpt_path=str(tmp_path / "step=4.ckpt"), max_epochs=4)
    counts, result = recorded(tmp_path)
    assert result["steps"] == {"applied": 8, "skipped": 0, "replayed": 2, "unfinished": 0}
    assert trainer.global_step == 8
    kept = first.net.given[:12]
    assert counts == (24, 88, sum(tokens for _, tokens in kept) + again.given[2])
    assert again.given[:2] == (12, 44)
    assert result["epochs"]["samples"] == 4
    assert [(each["first_step"], each["last_step"]) for each in result["segments"]] == [(1, 6), (5, 8)]


def test_resuming_in_the_middle_of_a_pass(tmp_path):
    """After step 3, 4 of 6 batches into the second pass: Lightning draws two of its first batches, not the last two."""
    saves = pl.callbacks.ModelCheckpoint(tmp_path, every_n_train_steps=3, filename="{step}", save_top_k=-1)
    first, _ = fit(tmp_path, callbacks=[saves], enable_checkpointing=True)
    again, trainer = fit(tmp_path, ckpt_path=str(tmp_path / "step=3.ckpt"))
    counts, result = recorded(tmp_path)
    kept = first.net.given[:10]
    assert counts == (
        10 + again.given[0], sum(size for size, _ in kept) + again.given[1], sum(n for _, n in kept) + again.given[2],
    )  # fmt: skip
    assert counts[1] == 22 + 16 + 8 + 22
    assert result["steps"]["applied"] == trainer.global_step == 6
    assert "sampler-not-resumable" in warned(result)


def test_resuming_a_checkpoint_that_the_callback_did_not_see(tmp_path):
    """Its steps are said to be missing, and are in no count of samples."""
    saves = pl.callbacks.ModelCheckpoint(tmp_path, every_n_train_steps=4, filename="{step}")
    fit(tmp_path, ledger=False, callbacks=[saves], enable_checkpointing=True)
    again, _ = fit(tmp_path, ckpt_path=str(tmp_path / "step=4.ckpt"))
    counts, result = recorded(tmp_path)
    assert counts == again.given
    assert result["steps"]["applied"] == 6
    assert "uncounted-steps" in warned(result)


def test_an_error_in_training_is_how_the_segment_ended(tmp_path):
    class Fails(Module):
        def training_step(self, batch, index):
            if self.global_step == 3:
                raise RuntimeError("a test")
            return super().training_step(batch, index)

    module = Fails()
    with pytest.raises(RuntimeError, match="a test"):
        fit(tmp_path, module)
    counts, result = recorded(tmp_path)
    assert (result["status"], result["steps"]["applied"]) == ("failed", 3)
    assert module.given == counts
    assert "a test" in result["segments"][0]["reason"]


def two_processes(folder, *words):
    """What each of two processes says that Lightning has started."""
    folder.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB", "ACCELERATE"))}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(Path(jobs.__file__)), str(folder), *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.timeout(600)
def test_two_processes_that_lightning_starts(tmp_path):
    """Its DistributedSampler fills 21 samples up to 22: twice 22 were trained, and the Trainer says 2 epochs."""
    said, without = two_processes(tmp_path / "a"), two_processes(tmp_path / "b", "no-ledger")
    assert said == without  # losses on each rank included
    counts, result = recorded(tmp_path / "a")
    (micro_steps, *first), (_, *second) = (each["given"] for each in said)
    assert counts == (micro_steps, *(a + b for a, b in zip(first, second, strict=True)))
    assert (result["steps"]["applied"], said[0]["steps"], said[0]["epoch"]) == (2, 2, 2)
    assert result["epochs"]["samples"] == pytest.approx(44 / 21)
    assert warned(result) == {"padded-duplicates", "short-window"}
    assert result["segments"][0]["data_parallel_size"] == 2


def test_the_counters_are_in_the_rows_of_the_user_s_wandb_run(tmp_path, monkeypatch):
    from tests.wandb_files import check_rows, counters_by_segment, offline_files

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    logger = pl.loggers.WandbLogger(project="test", save_dir=str(tmp_path), offline=True)
    fit(tmp_path, logger=logger, log_every_n_steps=1)
    logger.experiment.finish()
    (file,) = offline_files(tmp_path)
    logged = [row for row in file.rows if "loss" in row]
    planned = {"planned_steps": 6, "planned_samples": 66, "planned_epoch": 3}
    held = counters_by_segment(tmp_path / "run" / "ledger.jsonl")[0]
    assert check_rows(logged, held, size=22, **planned) == [1, 2, 3, 4, 5, 6]
    assert file.summary["ledger"]["samples"] == 66
