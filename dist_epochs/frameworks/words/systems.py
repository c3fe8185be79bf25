"""How systems count the same training run: their words, and the numbers they show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from dist_epochs.frameworks.distributed_sampler import DISTRIBUTED_SAMPLER
from dist_epochs.frameworks.keras import KERAS
from dist_epochs.frameworks.lightning import LIGHTNING
from dist_epochs.frameworks.megatron import MEGATRON
from dist_epochs.frameworks.tensorflow1 import TENSORFLOW1
from dist_epochs.frameworks.transformers import TRANSFORMERS
from dist_epochs.frameworks.words.methods import Convention, count_updates

__all__ = ["SYSTEMS", "Shown", "System", "shown_by"]

Ends = Literal["textbook", "pass", "endless"]
"""An epoch is one update; a pass ends with its last, maybe smaller batch; or whole batches run on across passes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class System:
    """One system's words.

    Attributes:
        name: The system.
        ends: How its batches end.
        counts: Whether what it calls an iteration (or step) starts again each epoch, counts the whole run, or is a pass
            over the data itself.
        basis: How that is known: by definition, measured, documented, or from its source.
        words: What each word means there.
    """

    name: str
    ends: Ends
    counts: Literal["each epoch", "whole run", "passes"]
    basis: str
    words: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """The numbers of one run in one system.

    Attributes:
        system: The system.
        iterations: What it shows as iterations or steps: of one epoch, or of the whole run; or passes.
        per_epoch: Updates in an epoch; a fraction where batches run on across passes.
        updates: Updates in all.
        mean: How often one example is drawn on average.
    """

    system: System
    iterations: int
    per_epoch: Fraction
    updates: int
    mean: Fraction


def shown_by(system: System, *, examples: int, epochs: int, batch_size: int) -> Shown:
    """What a system shows for a mini-batch run on one device.

    Args:
        system: The system.
        examples: Examples of the data.
        epochs: Epochs, in the words of the system.
        batch_size: Examples of an update.

    Raises:
        InputError: As `count_updates`.

    Examples:
        >>> by_name = {system.name: system for system in SYSTEMS}
        >>> given = {"examples": 100, "epochs": 30, "batch_size": 5}
        >>> shown_by(by_name["Keras"], **given).iterations, shown_by(by_name["TensorFlow 1"], **given).iterations
        (20, 600)
    """
    convention: Convention = "textbook" if system.ends == "textbook" else "framework"
    found = count_updates("mini-batch", convention, examples=examples, epochs=epochs, batch_size=batch_size)
    per_epoch, updates, draws = Fraction(found.per_epoch), found.updates, found.draws
    if system.ends == "endless":
        per_epoch = Fraction(examples, batch_size)
        updates = examples * epochs // batch_size
        draws = updates * batch_size
    return Shown(
        system=system,
        iterations={"whole run": updates, "each epoch": int(per_epoch), "passes": epochs}[system.counts],
        per_epoch=per_epoch,
        updates=updates,
        mean=Fraction(draws, examples),
    )


SYSTEMS: tuple[System, ...] = (
    System(
        name="textbook",
        ends="textbook",
        counts="whole run",
        basis="by definition",
        words={
            "iteration": "one update of the parameters, with all examples (GD), one (SGD) or some (mini-batch)",
            "step": "the same, or the size of the move (learning rate)",
            "epoch": "often the same as an iteration, where each update is said to use the data once",
            "batch size": "examples of one update, drawn at random",
            "number of batches": "no such number: batches are drawn anew, not cut from a pass",
        },
    ),
    System(
        name="Keras",
        ends="pass",
        counts="each epoch",
        basis=KERAS.versions[-1].basis,
        words={
            "iteration": "a batch of the epoch: the bar runs from 1 to steps_per_epoch and starts again",
            "step": "the same; optimizer.iterations counts updates over the whole run",
            "epoch": "an iteration over the data, or steps_per_epoch batches if that is given",
            "batch size": "examples of one update; over all replicas under a distribution strategy",
            "number of batches": "⌈examples ÷ batch size⌉; the last one is smaller",
        },
    ),
    System(
        name="TensorFlow 1",
        ends="endless",
        counts="whole run",
        basis=TENSORFLOW1.versions[-1].basis,
        words={
            "iteration": "one run of the training operation, over the whole run",
            "step": "the same: global_step, and num_train_steps = ⌊examples ÷ batch size × epochs⌋ in BERT's scripts",
            "epoch": "none in the loop: the data repeats, and epochs are computed from the steps",
            "batch size": "examples of one update (of one tower, under a mirrored strategy of old)",
            "number of batches": "whole batches only; they run on across passes",
        },
    ),
    System(
        name="scikit-learn",
        ends="pass",
        counts="passes",
        basis="measured on 1.9.1, whose documentation says the same of max_iter",
        words={
            "iteration": "max_iter, n_iter_: a pass in SGDClassifier and MLPClassifier; an update with all in lbfgs",
            "step": "an update, seldom shown: t_ − 1 of SGDClassifier (t_ of MLPClassifier are examples)",
            "epoch": "the same as an iteration, in SGDClassifier and MLPClassifier: a pass over the data",
            "batch size": "1 in SGDClassifier; batch_size of MLPClassifier, min(200, examples) unless stated",
            "number of batches": "⌈examples ÷ batch size⌉ in MLPClassifier; the last one is smaller",
        },
    ),
    System(
        name="PyTorch",
        ends="pass",
        counts="each epoch",
        basis=DISTRIBUTED_SAMPLER.versions[-1].basis,
        words={
            "iteration": "one batch of the DataLoader, by the index of the loop over it",
            "step": "optimizer.step(): an update, once per batch or per accumulation window",
            "epoch": "the outer loop of one's own script: a pass over the DataLoader",
            "batch size": "samples of one process: the global batch is times processes times accumulation",
            "number of batches": "len(loader) = ⌈examples ÷ batch size⌉, or ⌊ ⌋ with drop_last",
        },
    ),
    System(
        name="HF Trainer",
        ends="pass",
        counts="whole run",
        basis=TRANSFORMERS.versions[-1].basis,
        words={
            "iteration": "its bar counts optimizer steps over the whole run",
            "step": "an optimizer update: global_step, max_steps, logging_steps",
            "epoch": "a fraction of the length of the loader; for streaming data a fraction of max_steps",
            "batch size": "per_device_train_batch_size: the global batch is times devices times accumulation",
            "number of batches": "⌈ ⌉ of the loader of each device; the last accumulation window is stepped (5.x)",
        },
    ),
    System(
        name="Lightning",
        ends="pass",
        counts="each epoch",
        basis=LIGHTNING.versions[-1].basis,
        words={
            "iteration": "batch_idx, a batch of the epoch; global_step goes on",
            "step": "global_step: optimizer steps over the whole run, added over all optimizers",
            "epoch": "a pass over the loader: current_epoch, max_epochs",
            "batch size": "samples of one process",
            "number of batches": "num_training_batches = len(loader) of each process",
        },
    ),
    System(
        name="Megatron",
        ends="endless",
        counts="whole run",
        basis=MEGATRON.versions[-1].basis,
        words={
            "iteration": "an update with the whole global batch: --train-iters, over the whole run",
            "step": "the same; micro-batches are counted apart",
            "epoch": "only in building the index of samples: as many passes as the run needs",
            "batch size": "--micro-batch-size of a data-parallel replica; --global-batch-size of an iteration",
            "number of batches": "train samples ÷ global batch, whole ones; they run on across passes",
        },
    ),
)
"""The systems, in the order in which they are shown."""
