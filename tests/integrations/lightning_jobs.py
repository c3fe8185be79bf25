"""Runs of Lightning's Trainer with and without the callback; a hook in the model's forward counts a second time.

`python lightning_jobs.py FOLDER [no-ledger]` trains on two processes, which Lightning itself starts.
"""

import json
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from dist_epochs.integrations.lightning import LedgerCallback

pl = pytest.importorskip("lightning.pytorch")

LENGTH = 8


def rows(count):
    samples = []
    for number in range(count):
        ids = (torch.arange(LENGTH) * (number + 1)) % 61
        mask = (torch.arange(LENGTH) < 3 + number % 6).long()
        samples.append({"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100)})
    return samples


class Net(torch.nn.Module):
    """Notes what it is given in training."""

    def __init__(self):
        super().__init__()
        self.table, self.dropout = torch.nn.Embedding(64, 4), torch.nn.Dropout(0.2)
        self.given = []

    def forward(self, input_ids, attention_mask):
        if self.training and torch.is_grad_enabled():
            self.given.append((len(input_ids), int(attention_mask.sum())))
        return (self.dropout(self.table(input_ids)).sum(-1) * attention_mask).sum() / attention_mask.sum()


class Module(pl.LightningModule):
    """Validates too, and takes the labels out of its batches."""

    def __init__(self):
        super().__init__()
        self.net, self.losses = Net(), []

    def forward(self, batch):
        batch.pop("labels")
        return self.net(**batch)

    def training_step(self, batch, index):
        loss = self(batch)
        self.losses.append(loss.item())
        self.log("loss", loss)
        return loss

    def validation_step(self, batch, index):
        self(batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    @property
    def given(self):
        """Micro-steps, samples and tokens that the net was given in training on this rank."""
        return len(self.net.given), sum(size for size, _ in self.net.given), sum(tokens for _, tokens in self.net.given)


def fit(out, module=None, *, samples=22, per_device=4, ledger=True, ckpt_path=None, callbacks=(), **settings):
    """One call of `fit`, and the module that it trained."""
    pl.seed_everything(7, verbose=False)
    module = Module() if module is None else module
    options = {"max_epochs": 3, "accumulate_grad_batches": 4, "logger": False, "enable_checkpointing": False}
    trainer = pl.Trainer(
        accelerator="cpu", enable_progress_bar=False, enable_model_summary=False,
        callbacks=[*callbacks, *([LedgerCallback(out / "run")] if ledger else [])], default_root_dir=out,
        **(options | settings),
    )  # fmt: skip
    data = DataLoader(rows(samples), per_device, shuffle=True)
    trainer.fit(module, data, DataLoader(rows(9), 3), ckpt_path=ckpt_path)
    return module, trainer


def main():
    out = Path(sys.argv[1])
    module, trainer = fit(out, samples=21, devices=2, strategy="ddp", max_epochs=2, ledger="no-ledger" not in sys.argv)
    said = {
        "given": module.given,
        "losses": module.losses,
        "epoch": trainer.current_epoch,
        "steps": trainer.global_step,
    }
    (out / f"{trainer.global_rank}.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main()
