"""A loop that logs to wandb and may be killed: `python wandb_loops.py KIND FOLDER FROM_STEP KILL_AFTER`.

Ten samples of different lengths, two at a time, two micro-batches a step, four passes: 12 steps, the last of each pass
with one micro-batch.
"""

import os
import signal
import sys
from pathlib import Path

import torch
import wandb
from accelerate import Accelerator, skip_first_batches
from torch.utils.data import DataLoader

from dist_epochs import Ledger

SIZE, PASSES, PER_PASS, SAVED = 10, 4, 3, 7


def rows():
    samples = []
    for number in range(SIZE):
        ids = torch.arange(8) + number
        mask = (torch.arange(8) < 3 + number % 6).long()
        samples.append({"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100)})
    return samples


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(64, 1)

    def forward(self, input_ids, attention_mask=None, labels=None, **others):
        return {"loss": self.table(input_ids).mean()}


def die(step, at):
    if step == at:
        os.kill(os.getpid(), signal.SIGKILL)


def passes_left(loader, from_step, skip):
    """The passes from a step on; `skip` leaves out the first batches of one."""
    first, skipped = from_step // PER_PASS, 2 * (from_step % PER_PASS)
    yield skipped, skip(loader, skipped) if skipped else loader
    for _ in range(first + 1, PASSES):
        yield 0, loader


def plain(folder, from_step, kill_after):
    """Two rows for each step, by wandb's own steps; the run is opened before the ledger, and nothing is closed."""
    run = wandb.init(project="test", dir=folder, id="one", resume="allow")
    model, step = Model(), from_step
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    ledger = Ledger(folder / "run", from_step=from_step or None)
    for skipped, batches in passes_left(DataLoader(rows(), 2), from_step, skip_first_batches):
        for index, batch in enumerate(ledger.watch(batches), skipped + 1):
            loss = model(**batch)["loss"]
            loss.backward()
            if index % 2 == 0 or index == SIZE // 2:
                optimizer.step()
                optimizer.zero_grad()
                ledger.step(optimizer)
                step += 1
                run.log({"loss": loss.item(), "step": step})
                wandb.log({"rate": 0.1, "step": step})
                die(step, kill_after)


def accelerated(folder, from_step, kill_after):
    """Accelerate's tracker, with `step=` in every row, as in its examples; ended before the ledger is closed."""
    accelerator = Accelerator(cpu=True, log_with="wandb", gradient_accumulation_steps=2)
    accelerator.init_trackers("test", init_kwargs={"wandb": {"dir": str(folder), "id": "one", "resume": "allow"}})
    model, step = Model(), from_step
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model, optimizer, loader = accelerator.prepare(model, optimizer, DataLoader(rows(), 2))
    ledger = Ledger(folder / "run", accelerator, from_step=from_step or None)
    for _, batches in passes_left(loader, from_step, skip_first_batches):
        for batch in ledger.watch(batches):
            with accelerator.accumulate(model):
                loss = model(**batch)["loss"]
                accelerator.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
                ledger.step(optimizer)
            if accelerator.sync_gradients:
                step += 1
                accelerator.log({"loss": loss.item(), "step": step}, step=step)
                die(step, kill_after)
    accelerator.end_training()


def trainer(folder, from_step, kill_after):
    import transformers

    from dist_epochs.integrations.transformers import LedgerCallback

    os.environ |= {"WANDB_DIR": str(folder), "WANDB_RUN_ID": "one", "WANDB_RESUME": "allow"}

    class Die(transformers.TrainerCallback):
        def on_log(self, args, state, control, **others):
            die(state.global_step, kill_after)

    arguments = transformers.TrainingArguments(
        output_dir=str(folder / "hf"), use_cpu=True, report_to=["wandb"], disable_tqdm=True, save_steps=SAVED,
        logging_steps=1, per_device_train_batch_size=2, gradient_accumulation_steps=2, num_train_epochs=PASSES,
    )  # fmt: skip
    built = transformers.Trainer(
        model=Model(), args=arguments, train_dataset=rows(), callbacks=[LedgerCallback(out=folder / "run"), Die()],
        data_collator=transformers.default_data_collator,
    )  # fmt: skip
    built.train(resume_from_checkpoint=str(folder / "hf" / f"checkpoint-{from_step}") if from_step else None)


if __name__ == "__main__":
    kind, out, first_step, last = sys.argv[1:]
    {"plain": plain, "accelerated": accelerated, "trainer": trainer}[kind](Path(out), int(first_step), int(last))
