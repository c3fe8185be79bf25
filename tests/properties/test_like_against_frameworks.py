"""What `plan --like` says of the HF Trainer and of Accelerate is what the installed ones do."""

import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from dist_epochs.errors import InputError
from dist_epochs.frameworks.loaders import dispatched
from dist_epochs.frameworks.registry import find
from dist_epochs.frameworks.setting import Setting

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
accelerate = pytest.importorskip("accelerate")

pytestmark = pytest.mark.skipif(
    int(transformers.__version__.partition(".")[0]) != 5, reason="what is installed is not what was measured"
)


class OneWeight(torch.nn.Module):
    """A model that remembers the size of every micro-batch."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.drawn = []

    def forward(self, sample):
        self.drawn.append(len(sample))
        return {"loss": self.weight + 0 * sample.sum()}


class Stream(torch.utils.data.IterableDataset):
    """Samples without a length."""

    def __init__(self, samples):
        self.samples = samples

    def __iter__(self):
        return ({"sample": float(index)} for index in range(self.samples))


class Watch(transformers.TrainerCallback):
    """Micro-steps at every step; ends a run that makes none."""

    def __init__(self, model, most=400):
        self.model, self.most, self.at_steps = model, most, []

    def on_step_end(self, *_, **__):
        self.at_steps.append(len(self.model.drawn))

    def on_substep_end(self, args, state, control, **_):
        control.should_training_stop = len(self.model.drawn) > self.most


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Train with the real Trainer on one process."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")

    def run(told, *, stream=False):
        model = OneWeight()
        watch = Watch(model)
        length = {"max_steps": told.steps} if told.steps else {"num_train_epochs": float(told.epochs)}
        arguments = transformers.TrainingArguments(
            str(tmp_path), per_device_train_batch_size=told.per_device, report_to=[], save_strategy="no", use_cpu=True,
            gradient_accumulation_steps=told.gradient_accumulation, logging_strategy="no", disable_tqdm=True,
            dataloader_drop_last=told.uneven == "drop", dataloader_pin_memory=False, **length,
        )  # fmt: skip
        data = Stream(told.samples) if stream else list(Stream(told.samples))
        trainer = transformers.Trainer(model, arguments, train_dataset=data, callbacks=[watch])
        trainer.train()
        return trainer.state, watch, sum(model.drawn), len(model.drawn)

    return run


def setting(samples, per_device, accumulation, devices=1, **more):
    return Setting(
        samples=samples, per_device=per_device, gradient_accumulation=accumulation, data_parallel_size=devices, **more
    )


CASES = [
    setting(9, 2, 2, epochs=Fraction(3)), setting(13, 2, 4, epochs=Fraction(2)), setting(5, 2, 4, steps=7),
    setting(10, 1, 3, epochs=Fraction(5, 2)), setting(30, 4, 1, epochs=Fraction(2), uneven="drop"),
    setting(29, 4, 3, steps=9, uneven="drop"), setting(50, 1, 1, epochs=Fraction(11, 10)), setting(148, 2, 6, steps=27),
]  # fmt: skip


@pytest.mark.parametrize("told", CASES, ids=str)
def test_the_trainer(told, train):
    check(find("transformers==5").version.run(told), train(told))


STREAMS = [
    setting(100, 10, 1, steps=30), setting(100, 10, 4, steps=30), setting(95, 10, 4, steps=7),
    setting(31, 4, 1, steps=18, uneven="drop"), setting(19, 4, 4, steps=6, uneven="drop"), setting(40, 10, 2, steps=1),
]  # fmt: skip


@pytest.mark.parametrize("told", STREAMS, ids=str)
def test_the_trainer_on_a_stream(told, train):
    check(find("transformers-streaming").version.run(told), train(told, stream=True))


def check(found, trained):
    state, watch, drawn, micro_steps = trained
    assert (found.reported.steps, found.reported.num_epochs) == (state.global_step, state.num_train_epochs)
    assert float(found.reported.epoch) == pytest.approx(state.epoch, abs=1e-12)
    assert (found.truth.drawn, found.truth.micro_steps) == (drawn, micro_steps)
    assert watch.at_steps[-1] == micro_steps
    leaks = next((rule(found) for rule in find("transformers-streaming").version.causes[1:2]), None)
    if leaks:
        sizes = [after - before for before, after in zip([0, *watch.at_steps], watch.at_steps, strict=False)]
        assert f"windows of {', '.join(map(str, sizes[:5]))}" in leaks


def test_a_stream_shorter_than_a_window_never_steps(train):
    told = setting(25, 10, 4, steps=3)
    with pytest.raises(InputError, match="makes no step") as caught:
        find("transformers-streaming").version.run(told)
    assert caught.value.fixes == ("a gradient accumulation of 3 or less",)
    state, watch, _, micro_steps = train(told, stream=True)
    assert (state.global_step, watch.at_steps) == (0, [])
    assert micro_steps > watch.most


@pytest.mark.parametrize("processes", [1, 2, 5])
def test_a_prepared_scheduler_moves_once_per_process(processes, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    accelerator = accelerate.Accelerator()
    optimizer = accelerator.prepare(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda moved: max(0.0, 1 - moved / 10))
    prepared = accelerator.prepare(schedule)
    monkeypatch.setitem(accelerate.state.PartialState._shared_state, "num_processes", processes)
    steps = 0
    accelerator.gradient_state._set_sync_gradients(True)  # shared with every Trainer before
    while schedule.get_last_lr()[0] > 0 and steps < 20:
        optimizer.step()
        prepared.step()
        steps += 1
    told = Setting(
        samples=100, per_device=1, gradient_accumulation=1, data_parallel_size=1, steps=10, devices=processes
    )
    assert find("accelerate").version.run(told).reported.schedule_ends == steps


def test_a_stream_on_several_ranks(tmp_path):
    script = Path(__file__).with_name("dispatched_streams.py")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ACCELERATE")}
    result = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, check=False,
        env=environment | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    seen = [json.loads(path.read_text()) for path in sorted(tmp_path.iterdir())]
    assert {found["processes"] for found in seen} == {2, 3}
    for found in seen:
        for samples, per_device, drops, ranks in found["cases"]:
            told = setting(samples, per_device, 1, found["processes"], steps=1, uneven="drop" if drops else None)
            loader = dispatched(told, "flush")
            assert loader.drawn_per_pass == sum(map(sum, ranks)), told
            assert {len(sizes) for sizes in ranks} == {loader.micro_steps_per_pass}, told
