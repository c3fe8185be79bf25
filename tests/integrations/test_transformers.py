"""The callback in a tiny Trainer of one process: what it counts, says, refuses and logs beside the Trainer's epoch."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import pytest
import torch
import transformers
from torch import nn

from dist_epochs.errors import InputError
from dist_epochs.integrations.transformers import LedgerCallback
from dist_epochs.ledger.reconcile import read_run

SAMPLES, LENGTH = 10, 4


class Model(nn.Module):
    """Counts what it is given."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.given = 0

    def forward(self, input_ids, attention_mask=None, labels=None):
        if self.training and torch.is_grad_enabled():
            self.given += len(input_ids)
        return {"loss": (self.weight * input_ids.float()).mean()}


class Stream(torch.utils.data.IterableDataset):
    """Data without a length."""

    def __iter__(self):
        return iter(rows())


class Halt(transformers.TrainerCallback):
    """Ends training after a step."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **others):
        control.should_training_stop = control.should_training_stop or state.global_step >= self.step


def rows():
    ids = [torch.arange(LENGTH) + LENGTH * number for number in range(SAMPLES)]
    return [{"input_ids": each, "labels": each, "attention_mask": torch.ones_like(each)} for each in ids]


@pytest.fixture
def train(tmp_path):
    """Run a Trainer with the callback; its model, state and ledger."""

    def run(data=None, *, stop=None, resume=None, samples=None, **arguments):
        settings = transformers.TrainingArguments(
            output_dir=str(tmp_path / "hf"), use_cpu=True, report_to=[], disable_tqdm=True,
            per_device_train_batch_size=2, **({"save_strategy": "no"} | arguments),
        )  # fmt: skip
        callbacks = [LedgerCallback(tmp_path / "run", samples=samples), *([Halt(stop)] if stop else [])]
        trainer = transformers.Trainer(
            model=Model(), args=settings, train_dataset=data or rows(), callbacks=callbacks,
            data_collator=transformers.default_data_collator,
        )  # fmt: skip
        trainer.train(resume_from_checkpoint=resume)
        return trainer, read_run(tmp_path / "run").to_json()

    return run


def rules(recorded):
    return [warning["rule"] for warning in recorded["warnings"]]


def test_what_the_model_was_given_is_booked(train, capsys):
    trainer, recorded = train(num_train_epochs=2)
    assert recorded["samples"] == trainer.model.given == 2 * SAMPLES
    assert recorded["steps"] == {"applied": 10, "skipped": 0, "replayed": 0, "unfinished": 0}
    assert (recorded["positions"], recorded["loss_tokens"]) == (20 * LENGTH, 20 * (LENGTH - 1))
    assert (recorded["data"]["known"], recorded["epochs"]["samples"]) == ("dataset", 2)
    assert [entry["samples"] for entry in recorded["loader_passes"]] == [SAMPLES, SAMPLES]
    assert recorded["reported"] == {"epoch": 2.0, "step": 10, "by": "the HF Trainer"}
    assert (recorded["status"], rules(recorded)) == ("finished", [])
    assert "dist_epochs: 10 steps of 2 samples (1 rank × 2 per device × 1 accumulation)" in capsys.readouterr().err


def test_a_short_window_at_the_end_of_a_pass(train):
    """5 micro-batches a pass in windows of 2: the third of each pass has one."""
    _, recorded = train(num_train_epochs=2, gradient_accumulation_steps=2)
    assert (recorded["steps"]["applied"], recorded["micro_steps"]) == (6, 10)
    assert rules(recorded) == ["short-window"]


def test_a_stream_s_epoch_is_not_the_trainer_s(train):
    trainer, recorded = train(Stream(), max_steps=15)
    assert recorded["samples"] == trainer.model.given == 30
    assert recorded["data"]["known"] == "learned"
    assert Fraction(recorded["epochs_exact"]["samples"]) == 3
    assert recorded["reported"]["epoch"] == trainer.state.epoch != 3
    assert "reported-epoch" in rules(recorded)


def test_a_run_that_was_left_goes_on_in_the_same_ledger(train, tmp_path):
    _, recorded = train(stop=3, num_train_epochs=2, save_strategy="steps", save_steps=3)
    assert (recorded["status"], recorded["steps"]["applied"]) == ("stopped", 3)
    with pytest.raises(InputError) as refused:
        train(num_train_epochs=2)
    assert "a ledger of 3 steps" in refused.value.asked
    _, recorded = train(resume=str(tmp_path / "hf" / "checkpoint-3"), num_train_epochs=2)
    assert (recorded["steps"]["applied"], recorded["samples"], recorded["status"]) == (10, 2 * SAMPLES, "finished")
    assert [segment["first_step"] for segment in recorded["segments"]] == [1, 4]


class Interrupt(transformers.TrainerCallback):
    """Ctrl-C in a notebook: the program goes on."""

    def on_step_end(self, args, state, control, **others):
        if state.global_step == 3:
            raise KeyboardInterrupt


@pytest.mark.parametrize("resumes", [True, False])
def test_a_new_trainer_takes_over_from_one_that_was_interrupted(train, tmp_path, resumes):
    settings = transformers.TrainingArguments(
        output_dir=str(tmp_path / "hf"), use_cpu=True, report_to=[], disable_tqdm=True, save_steps=2,
        per_device_train_batch_size=2,
    )  # fmt: skip
    trainer = transformers.Trainer(
        model=Model(), args=settings, train_dataset=rows(), data_collator=transformers.default_data_collator,
        callbacks=[LedgerCallback(tmp_path / "run"), Interrupt()],
    )  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    _, recorded = train(resume=str(tmp_path / "hf" / "checkpoint-2") if resumes else None, num_train_epochs=2)
    assert (recorded["samples"], recorded["steps"]["applied"], recorded["status"]) == (2 * SAMPLES, 10, "finished")
    assert recorded["steps"]["replayed"] == (1 if resumes else 3)
    assert [segment["status"] for segment in recorded["segments"]] == ["failed", "finished"]
    assert recorded["segments"][0]["reason"] == "training began again in this process"


def test_samples_that_are_stated_are_those_of_a_pass(train):
    _, recorded = train(samples=20, num_train_epochs=2)
    assert (recorded["data"]["known"], recorded["epochs"]["samples"]) == ("stated", 1)
    assert "dropped-data" in rules(recorded)


def test_an_evaluation_is_in_no_count(tmp_path):
    settings = transformers.TrainingArguments(
        output_dir=str(tmp_path / "hf"), use_cpu=True, report_to=[], disable_tqdm=True, save_strategy="no",
        eval_strategy="steps", eval_steps=2, per_device_train_batch_size=2, num_train_epochs=1,
    )  # fmt: skip
    trainer = transformers.Trainer(
        model=Model(), args=settings, train_dataset=rows(), eval_dataset=rows(),
        callbacks=[LedgerCallback(tmp_path / "run")], data_collator=transformers.default_data_collator,
    )  # fmt: skip
    trainer.train()
    found = read_run(tmp_path / "run")
    assert found.to_json()["samples"] == trainer.model.given == SAMPLES
    assert found.totals.clock.events == {"segment": 1, "evaluation": 3}
    line = found.time_line
    assert line.causes["evaluation"] > 0 == line.causes["unattributed"]
    assert line.not_told_apart == ("data", "communication")
    assert found.spending.wall_hours.expected.point * 3.6e9 == pytest.approx(line.wall_us)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (SimpleNamespace(n_gpu=2), "one process trains on 2 GPUs"),
        (SimpleNamespace(n_gpu=0, parallelism_config=SimpleNamespace(cp_size=4)), "context parallelism of 4"),
    ],
)
def test_what_a_hook_would_count_wrongly_is_refused(tmp_path, arguments, part):
    with pytest.raises(InputError) as refused:
        LedgerCallback(tmp_path / "run").on_train_begin(arguments, None, None, model=None, train_dataloader=None)
    assert part in refused.value.asked
    assert not (tmp_path / "run").exists()


def test_a_model_that_is_never_called(tmp_path):
    """A loss that is computed without the model brings no batch, and that is an error at the first step."""

    class WithoutModel(transformers.Trainer):
        def compute_loss(self, model, inputs, **others):
            return model.weight * 1

    settings = transformers.TrainingArguments(
        output_dir=str(tmp_path / "hf"), use_cpu=True, report_to=[], disable_tqdm=True, save_strategy="no",
    )  # fmt: skip
    trainer = WithoutModel(
        model=Model(), args=settings, train_dataset=rows(), callbacks=[LedgerCallback(tmp_path / "run")]
    )
    with pytest.raises(InputError) as refused:
        trainer.train()
    assert "the model was given no batch in training mode" in refused.value.asked
