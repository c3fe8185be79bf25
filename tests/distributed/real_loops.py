"""Small training scripts as people write them, with and without a ledger: `train(job, out, ledger)` for each.

`ledger` makes a `Ledger`, or nothing where the script runs without one. Each returns the losses of its steps, exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch
from accelerate import Accelerator
from accelerate.utils import find_executable_batch_size
from torch import nn
from torch.utils.data import DataLoader, Dataset
from transformers import get_scheduler

MakeLedger = Callable[..., "object | None"]


def watched(ledger, loader):
    return ledger.watch(loader) if ledger else loader


def no_trainer(job: dict, make_model: Callable[[], nn.Module], data: Dataset, ledger: MakeLedger) -> list[float]:
    """Transformers' `run_*_no_trainer.py`: left in the middle of a pass, or after its last batch, at its last step."""
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=job["accumulation"])
    torch.manual_seed(5)
    model = make_model()
    loader = DataLoader(data, job["per_device"], shuffle=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    batches = len(loader)
    steps = job.get("max_train_steps") or job["passes"] * -(-batches // job["accumulation"])
    ends_at = steps if "max_train_steps" not in job else steps * accelerator.num_processes
    scheduler = get_scheduler("linear", optimizer, 0, ends_at)
    model, optimizer, loader, scheduler = accelerator.prepare(model, optimizer, loader, scheduler)
    in_pass = -(-len(loader) // job["accumulation"])
    steps = job.get("max_train_steps") or job["passes"] * in_pass
    kept, losses, completed = ledger(accelerator), [], 0
    for _ in range(-(-steps // in_pass)):
        for batch in watched(kept, loader):
            with accelerator.accumulate(model):
                loss = model(**batch)["loss"]
                accelerator.backward(loss)
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
                if kept:
                    kept.step(optimizer)
            losses.append(loss.item())
            completed += accelerator.sync_gradients
            if completed >= steps:
                break
    return losses


def retry(job: dict, make_model: Callable[[], nn.Module], data: Dataset, ledger: MakeLedger) -> list[float]:
    """A batch size that does not fit is tried again, smaller; the ledger is made inside or outside of the attempt."""
    accelerator = Accelerator(cpu=True)
    outside = None if job["inside"] else ledger(accelerator)

    @find_executable_batch_size(starting_batch_size=job["per_device"])
    def attempt(batch_size: int) -> list[float]:
        torch.manual_seed(5)
        kept = outside or ledger(accelerator)
        model = make_model()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        model, optimizer, loader = accelerator.prepare(model, optimizer, DataLoader(data, batch_size))
        losses = []
        for number, batch in enumerate(watched(kept, loader)):
            if batch_size > job["most"] and number == job["fails_at"]:
                raise RuntimeError("CUDA out of memory. (said by a test)")
            loss = model(**batch)["loss"]
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            if kept:
                kept.step(optimizer)
            losses.append(loss.item())
        return losses

    return attempt()


def fetch_ahead(job: dict, make_model: Callable[[], nn.Module], data: Dataset, ledger: MakeLedger) -> list[float]:
    """NanoGPT's loop: no loader, batches drawn at random, the next one while the device still computes."""
    accelerator = Accelerator(cpu=True)  # joins the ranks; what follows does not know it
    rank, world = accelerator.process_index, accelerator.num_processes
    torch.manual_seed(5)
    model = make_model()
    if world > 1:
        model = nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    chooser = torch.Generator().manual_seed(1337 + rank)

    def get_batch():
        chosen = torch.randint(len(data), (job["per_device"],), generator=chooser)
        rows = [data[int(number)] for number in chosen]
        return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}

    kept = ledger(None)
    batches = watched(kept, iter(get_batch, None))
    batch, losses = next(batches), []
    for _ in range(job["steps"]):
        for micro_step in range(job["accumulation"]):
            last = micro_step == job["accumulation"] - 1
            with nullcontext() if last or world == 1 else model.no_sync():
                loss = model(**batch)["loss"] / job["accumulation"]
                batch = next(batches)
                loss.backward()
            losses.append(loss.item())
        optimizer.step()
        optimizer.zero_grad()
        if kept:
            kept.step(optimizer)
    return losses


def sources(job: dict, make_model: Callable[[], nn.Module], data: Dataset, ledger: MakeLedger) -> list[float]:
    """Batches that name the source of each sample; some sources come to one rank only."""
    accelerator = Accelerator(cpu=True)
    torch.manual_seed(5)
    model, loader = make_model(), DataLoader(data, job["per_device"])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    kept, losses = ledger(accelerator, source="source"), []
    for _ in range(job["passes"]):
        for batch in watched(kept, loader):
            loss = model(**{name: values for name, values in batch.items() if name != "source"})["loss"]
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            if kept:
                kept.step(optimizer)
            losses.append(loss.item())
    return losses


def repeated(job: dict, make_model: Callable[[], nn.Module], data: Dataset, ledger: MakeLedger) -> list[float]:
    """Data in which many samples are the same: ranks that draw the same one by chance are split all the same."""
    accelerator = Accelerator(cpu=True)
    torch.manual_seed(job["seed"])
    kept = ledger(accelerator)
    model = make_model()
    alike = [data[0] if number % job["every"] == 0 else data[number] for number in range(len(data))]
    loader = accelerator.prepare(DataLoader(alike, 1, shuffle=True))
    for batch in watched(kept, loader):
        model(**batch)["loss"].backward()
        if kept:
            kept.step()
    return []


SCRIPTS = {script.__name__: script for script in (no_trainer, retry, fetch_ahead, sources, repeated)}
