"""TensorFlow 1 as BERT's scripts use it: a number of steps, over data that repeats without end."""

from __future__ import annotations

from fractions import Fraction

from dist_epochs.frameworks.causes import multiplied_floats, no_epoch, rounded_down
from dist_epochs.frameworks.framework import Framework, Version
from dist_epochs.frameworks.loaders import endless, float_product
from dist_epochs.frameworks.run import Reported, Run
from dist_epochs.frameworks.setting import Setting

__all__ = ["TENSORFLOW1"]


def _run(setting: Setting) -> Run:
    """`num_train_steps = int(examples / train_batch_size * num_train_epochs)`; the batch is the global one."""
    steps = setting.steps
    if steps is None:
        assert setting.epochs is not None
        batches = float_product(Fraction(setting.samples, setting.global_batch), 1)
        steps = int(batches * float_product(setting.epochs, 1))
    return Run(
        setting=setting,
        counts=endless(setting, steps, "tensorflow1"),
        reported=Reported(steps=steps),
        planned_per_pass=Fraction(setting.samples, setting.global_batch),
    )


TENSORFLOW1 = Framework(
    name="tensorflow1",
    aliases=("tf1", "tensorflow-1", "tf-estimator", "tensorflow"),
    versions=(
        Version(
            basis="as BERT's scripts count; not run here",
            run=_run,
            causes=(no_epoch, rounded_down, multiplied_floats),
        ),
    ),
)
