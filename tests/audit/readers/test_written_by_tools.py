"""Records as the tools themselves write them, in an environment that has them."""

import pytest


def trained(folder, *, report_to):
    """Three passes of the HF Trainer over 50 rows, 2 × 2 a step, with all that the examples' scripts write."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(1, 1)

        def forward(self, x, labels):
            predicted = self.linear(x)
            return {"loss": ((predicted - labels) ** 2).mean(), "logits": predicted}

    rows = [{"x": [float(at)], "labels": [1.0]} for at in range(50)]
    arguments = transformers.TrainingArguments(
        str(folder), per_device_train_batch_size=2, gradient_accumulation_steps=2, num_train_epochs=3, logging_steps=3,
        report_to=report_to, use_cpu=True, save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    trainer = transformers.Trainer(Model(), arguments, train_dataset=rows)
    result = trainer.train()
    trainer.save_metrics("train", {**result.metrics, "train_samples": len(rows)})
    trainer.save_state()
    return folder


CLAIMS = ("--corpus", "50 samples", "--global-batch", 4, "--epochs", 3, "--steps", 39, "--samples", 150)


def test_the_folder_of_a_trainer(ask, tmp_path):
    found = ask(trained(tmp_path, report_to="none"), *CLAIMS)
    assert found["verdict"].startswith("consistent")
    assert found["record"]["corpus"]["value"] == 50
    assert any("train_results.json (hf-results)" in note for note in found["notes"])
    assert ask(tmp_path / "train_results.json", *CLAIMS)["verdict"].startswith("consistent")


def test_the_events_of_a_trainer(ask, tmp_path):
    pytest.importorskip("tensorboard")
    trained(tmp_path, report_to="tensorboard")
    (events,) = tmp_path.rglob("events.out.tfevents.*")
    found = ask(events, *CLAIMS)
    assert found["verdict"].startswith("consistent")
    record = {name: entry["value"] for name, entry in found["record"].items()}
    assert (record["per_device"], record["gradient_accumulation"], record["finished"]) == (2, 2, True)


def test_the_events_of_torch(ask, tmp_path):
    """Nothing tells what its steps are."""
    pytest.importorskip("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as writer:
        writer.add_scalar("loss", 1.0, 5)
    (events,) = tmp_path.iterdir()
    assert "tells of the steps of a trainer" in ask(events, code=2)["asked"]


@pytest.mark.lightning
def test_the_folder_of_lightning(ask, tmp_path):
    lightning = pytest.importorskip("lightning")
    import torch

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(1, 1)

        def training_step(self, batch, _):
            loss = self.linear(batch[0]).mean()
            self.log("loss", loss, on_step=True, on_epoch=True)
            return loss

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(37, 1)), batch_size=4)
    logger = lightning.pytorch.loggers.CSVLogger(str(tmp_path))
    trainer = lightning.Trainer(
        max_epochs=2, accumulate_grad_batches=3, log_every_n_steps=1, logger=logger, accelerator="cpu",
        enable_checkpointing=False, enable_progress_bar=False,
    )  # fmt: skip
    trainer.fit(Module(), data)
    record = ask(logger.log_dir)["record"]
    assert {name: record[name]["value"] for name in ("steps", "epochs", "steps_per_epoch")} == {
        "steps": 8, "epochs": 2, "steps_per_epoch": 4,
    }  # fmt: skip
