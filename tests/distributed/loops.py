"""Other people's loops on forked gloo ranks: `python -m tests.distributed.loops FOLDER`, a job in each line of input.

Each rank writes down by itself what its model was given: the first token of a sample is its number in the data. Those
notes are the second way of counting.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path

import datasets
import torch
import torch._dynamo
import transformers
from accelerate import Accelerator, DataLoaderConfiguration, debug_launcher, skip_first_batches
from accelerate.state import AcceleratorState, GradientState, PartialState
from datasets.distributed import split_dataset_by_node
from torch.utils.data import DataLoader, Dataset, DistributedSampler, IterableDataset

from dist_epochs import Ledger
from dist_epochs.integrations.transformers import LedgerCallback
from tests.distributed.real_loops import SCRIPTS

LENGTH = 6


def sample(number: int) -> dict[str, torch.Tensor]:
    ids = torch.arange(LENGTH) * (number + 1) % 97
    ids[0] = number
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids.clone()}


class Rows(Dataset):
    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
        if number >= self.count:
            raise IndexError
        return sample(number)


class Stream(IterableDataset):
    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self):
        return (sample(number) for number in range(self.count))


class File(IterableDataset):
    """Rows that stand in a file, in their order."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __iter__(self):
        for line in Path(self.path).read_text().splitlines():
            yield {name: torch.tensor(values) for name, values in json.loads(line).items()}


class Model(torch.nn.Module):
    """Notes what it is given in training."""

    def __init__(self, notes: Path | None) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(5000, 1)
        self.notes = notes
        self.grows = False
        self.most = 10**9

    def forward(self, input_ids, attention_mask=None, labels=None, num_items_in_batch=None):
        if len(input_ids) > self.most:
            raise RuntimeError("CUDA out of memory. (said by a test)")
        if self.training and torch.is_grad_enabled() and self.notes is not None:
            with self.notes.open("a") as file:
                file.write(json.dumps(input_ids[:, 0].tolist()) + "\n")
        loss = self.table(input_ids).mean()
        return {"loss": loss * float("inf") if self.grows else loss}


def notes_of(folder: Path, rank: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{rank}.notes"


def fresh() -> None:
    for state in (AcceleratorState, PartialState, GradientState):
        state._shared_state.clear()


def loader_of(job: dict, accelerator: Accelerator) -> DataLoader:
    per_device, count, kind = job["per_device"], job["samples"], job.get("data", "rows")
    drop = job.get("drop_last", False)
    if kind == "rows":
        return DataLoader(Rows(count), per_device, shuffle=job.get("shuffle", True), drop_last=drop)
    if kind == "stream":
        return DataLoader(Stream(count), per_device, drop_last=drop)
    if kind == "node":
        data = datasets.Dataset.from_list([{"input_ids": sample(n)["input_ids"].tolist()} for n in range(count)])
        data = data.with_format("torch").to_iterable_dataset(num_shards=2 * accelerator.num_processes)
        return DataLoader(
            split_dataset_by_node(data, accelerator.process_index, accelerator.num_processes),
            per_device,
        )
    sampler = DistributedSampler(Rows(count), accelerator.num_processes, accelerator.process_index, drop_last=drop)
    return DataLoader(Rows(count), per_device, sampler=sampler)


def plain(job: dict, out: Path) -> None:
    """The loop of Accelerate's documentation, with the three lines."""
    if "seedable" in job:
        configuration = DataLoaderConfiguration(
            use_seedable_sampler=job["seedable"], data_seed=3 if job["seedable"] else None
        )
    else:
        configuration = DataLoaderConfiguration(
            even_batches=job.get("even", True), dispatch_batches=job.get("dispatch")
        )
    windows = job.get("accumulation", 1)
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=windows, dataloader_config=configuration)
    if job.get("overflow"):
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**4)
    torch.manual_seed(accelerator.process_index if job.get("own_seeds") else job.get("from_step", 3))
    model = Model(notes_of(out, accelerator.process_index))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1 - step / 100))
    loader = loader_of(job, accelerator)
    if job.get("ddp", True):
        model, optimizer = accelerator.prepare(model, optimizer)
    if job.get("prepare", True):
        loader = accelerator.prepare(loader)
    if job.get("prepare_scheduler"):
        scheduler = accelerator.prepare(scheduler)
    tracked = None
    if job.get("wandb"):  # a run on every rank, as for a group of runs
        import wandb

        folder = out / f"rank-{accelerator.process_index}"
        folder.mkdir()
        tracked = wandb.init(project="test", dir=folder)
    ledger = Ledger(out / "run", accelerator, samples=job.get("stated"), from_step=job.get("from_step"))
    taken = job.get("from_step") or 0
    for number in range(job.get("passes", 1)):
        batches = skip_first_batches(loader, job["skip"]) if job.get("skip") and number == 0 else loader
        for batch in ledger.watch(batches):
            with accelerator.accumulate(model):
                accelerator.unwrap_model(model).grows = taken + 1 == job.get("overflow")
                loss = model(**batch)["loss"]
                accelerator.backward(loss)
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
                ledger.step(optimizer, scheduler)
            if tracked:
                tracked.log({"loss": float(loss)})
            taken += accelerator.sync_gradients
            if taken == job.get("stop"):
                break
        if taken == job.get("stop"):
            break
    accelerator.end_training()
    if tracked:
        tracked.finish()
    ledger._at_exit()  # what the interpreter does at its end, and forked ranks do not


def torch_alone(job: dict, out: Path) -> None:
    """A DDP loop without Accelerate."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1"}
    accelerator = Accelerator(cpu=True)  # joins the ranks; what follows does not know it
    model = torch.nn.parallel.DistributedDataParallel(Model(notes_of(out, accelerator.process_index)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = loader_of(job, accelerator)
    ledger = Ledger(out / "run")
    for number in range(job.get("passes", 1)):
        loader.sampler.set_epoch(number)
        for index, batch in enumerate(ledger.watch(loader), 1):
            model(**batch)["loss"].backward()
            if index % job.get("accumulation", 1) == 0 or index == len(loader):
                optimizer.step()
                optimizer.zero_grad()
                ledger.step(optimizer)
    ledger.close()


class StopAt(transformers.TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **others) -> None:
        control.should_training_stop = control.should_training_stop or state.global_step == self.step


class Peek(transformers.TrainerCallback):
    """Looks at what the model makes of a sample, in training mode."""

    def on_step_end(self, args, state, control, *, model, **others) -> None:
        with torch.no_grad():
            model(**{name: values[None] for name, values in sample(1).items()})


def loss_outside(outputs, labels, num_items_in_batch):
    """The Trainer takes the labels out of the batch for it."""
    return outputs["loss"]


def trainer(job: dict, out: Path) -> None:
    """The HF Trainer with the callback."""
    rank = PartialState(cpu=True).process_index
    stop = job.get("stop", 0)
    arguments = transformers.TrainingArguments(
        output_dir=str(out / "hf"), use_cpu=True, report_to=job.get("report_to", []), disable_tqdm=True,
        save_strategy="steps" if stop else "no", save_steps=stop or 1, logging_steps=job.get("logging_steps", 1000),
        per_device_train_batch_size=job["per_device"], gradient_accumulation_steps=job.get("accumulation", 1),
        **job["arguments"],
    )  # fmt: skip
    os.environ["WANDB_DIR"] = str(out)
    data = (Stream if job.get("data") == "stream" else Rows)(job["samples"]) if "samples" in job else File(job["file"])
    callbacks = [LedgerCallback(out=out / "run", samples=job.get("stated"))]
    if job.get("peek"):
        callbacks.append(Peek())
    if stop and not job.get("resume"):
        callbacks.append(StopAt(stop))
    built = transformers.Trainer(
        model=Model(notes_of(out, rank)), args=arguments, train_dataset=data, callbacks=callbacks,
        data_collator=transformers.default_data_collator,
        compute_loss_func=loss_outside if job.get("loss_outside") else None,
    )  # fmt: skip
    built.model.most = job.get("most", built.model.most)
    built.train(resume_from_checkpoint=str(out / "hf" / f"checkpoint-{stop}") if job.get("resume") else None)
    if "wandb" in sys.modules:
        sys.modules["wandb"].finish()  # forked ranks end without the interpreter's last words
    if rank == 0:
        said = {"epoch": built.state.epoch, "steps": built.state.global_step, "max_steps": built.state.max_steps}
        said["num_input_tokens_seen"] = built.state.num_input_tokens_seen
        (out / "said.json").write_text(json.dumps(said))


class Named(Rows):
    """Rows that name their source: every seventh is from `rare`."""

    def __getitem__(self, number: int) -> dict[str, object]:
        return super().__getitem__(number) | {"source": "rare" if number % 7 == 3 else "common"}


def script(job: dict, out: Path) -> None:
    """A script of `real_loops`, with its ledger or without."""
    rank = PartialState(cpu=True).process_index
    notes, made = notes_of(out, rank), []

    def ledger(ranks: object, **options: object) -> Ledger | None:
        if job["ledger"]:
            made.append(Ledger(out / "run", ranks, **options))
        return made[-1] if made else None

    def model() -> Model:
        notes.unlink(missing_ok=True)  # an attempt that failed trained nothing
        return Model(notes)

    data = (Named if job["script"] == "sources" else Rows)(job["samples"])
    losses = SCRIPTS[job["script"]](job, model, data, ledger)
    if made:
        made[-1].close()
    (out / f"{rank}.losses").write_text(json.dumps([loss.hex() for loss in losses]))


def main() -> None:
    torch.set_num_threads(1)
    kinds = {"plain": plain, "torch": torch_alone, "trainer": trainer, "script": script}
    for line in sys.stdin:
        job = json.loads(line)
        fresh()
        try:
            debug_launcher(
                partial(kinds[job["kind"]], job, Path(sys.argv[1]) / job["name"]), num_processes=job["ranks"]
            )
            print("done", flush=True)
        except Exception as error:
            print(f"failed {error!r}"[:2000].replace("\n", " "), flush=True)


if __name__ == "__main__":
    main()
