"""The HF Trainer (`transformers/trainer.py`): the three ways in which its versions count, and streams."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil

from dist_epochs.arithmetic.loader import Loader, LoaderCounts
from dist_epochs.arithmetic.multiples import nth_multiple
from dist_epochs.errors import InputError
from dist_epochs.frameworks.causes import (
    carried_window,
    dispatcher_padding,
    drop_last,
    drop_last_ignored,
    even_batches,
    floored_plan,
    flushed_window,
    leaked_window,
    multiplied_floats,
    short_batch,
    short_pass,
    steps_by_hand,
    stream_epoch,
    wrong_remainder,
)
from dist_epochs.frameworks.framework import Framework, Version
from dist_epochs.frameworks.loaders import dispatched, float_product, last_pass, prepared
from dist_epochs.frameworks.run import Reported, Run
from dist_epochs.frameworks.setting import Setting

__all__ = ["TRANSFORMERS", "TRANSFORMERS_STREAMING"]

MAXSIZE = 2**63 - 1
"""`sys.maxsize`: the number of epochs that the Trainer announces for a stream."""


def _carries(setting: Setting) -> Run:
    """4.44: the plan takes whole windows of a pass, the loop counts micro-batches on across passes.

    A pass that is shorter than a window ends one too, so windows end at multiples of either.
    """
    loader = prepared(setting, "carry")
    window, per_pass = setting.gradient_accumulation, loader.micro_steps_per_pass
    planned = max(per_pass // window, 1)
    steps = _max_steps(setting, planned)
    counts = loader.after_steps(steps)
    if per_pass < window:
        each = replace(loader, gradient_accumulation=1).after_steps(nth_multiple(steps, window, per_pass))
        counts = replace(each, steps=steps)
    return _map_style(setting, loader, counts, planned, Fraction(counts.micro_steps, per_pass))


def _floors_its_plan(setting: Setting) -> Run:
    """4.48: the plan takes whole windows of a pass, the loop steps with the last one too.

    For that one it asks for (samples % accumulation) micro-batches, or a full window, where (micro-steps a pass %
    accumulation) are left. Where that is too few, a pass ends early and its last micro-steps make no step.
    """
    whole = prepared(setting, "flush")
    window, per_pass = setting.gradient_accumulation, whole.micro_steps_per_pass
    planned, left = max(per_pass // window, 1), per_pass % window
    asked = setting.samples % window or window
    loader = whole
    if asked < left:
        drawn = (per_pass - left + asked) * whole.samples_per_round
        if per_pass < window:
            raise _never_steps(setting, asked, per_pass)
        loader = replace(whole, samples=drawn, last_window="leak")
    counts = loader.after_steps(_max_steps(setting, planned))
    passes, in_pass = last_pass(counts.micro_steps, loader.micro_steps_per_pass)
    return _map_style(setting, loader, counts, planned, passes + Fraction(in_pass, per_pass))


def _flushes(setting: Setting) -> Run:
    """5.x: plan and loop step with the last window of a pass."""
    loader = prepared(setting, "flush")
    planned = int(loader.steps_per_pass)
    counts = loader.after_steps(_max_steps(setting, planned))
    return _map_style(setting, loader, counts, planned, Fraction(counts.micro_steps, loader.micro_steps_per_pass))


def _streams(setting: Setting) -> Run:
    """5.x on a stream: it takes a pass to have max_steps × accumulation micro-steps, and its last window leaks."""
    whole = dispatched(replace(setting, uneven=None), "flush")  # it does not pass drop_last on
    if whole.micro_steps_per_pass < setting.gradient_accumulation:
        raise _never_ends(setting, whole.micro_steps_per_pass)
    loader = replace(whole, last_window="leak")
    steps = setting.steps_by_hand
    counts = loader.after_steps(steps)
    passes, in_pass = last_pass(counts.micro_steps, loader.micro_steps_per_pass)
    reported = Reported(
        steps=steps,
        epoch=passes + Fraction(in_pass, steps * setting.gradient_accumulation),
        num_epochs=MAXSIZE,
        samples=Fraction(steps * setting.global_batch),
        schedule_ends=steps,
    )
    return Run(setting=setting, counts=counts, reported=reported, loader=loader, reads_in_order=True)


def _max_steps(setting: Setting, planned_per_pass: int) -> int:
    if setting.steps is not None:
        return setting.steps
    assert setting.epochs is not None
    return ceil(float_product(setting.epochs, planned_per_pass))


def _map_style(setting: Setting, loader: Loader, counts: LoaderCounts, planned: int, epoch: Fraction) -> Run:
    """What the Trainer reports of data with a length.

    Args:
        setting: The run.
        loader: How it cuts passes.
        counts: What its loop has done.
        planned: Steps a pass by its plan.
        epoch: Its `state.epoch`.
    """
    epochs, samples = setting.epochs, Fraction(counts.steps * setting.global_batch)
    reported = Reported(
        steps=counts.steps,
        epoch=epoch,
        num_epochs=-(-counts.steps // planned) if epochs is None else ceil(epochs),
        samples=samples if epochs is None else epochs * setting.samples,
        schedule_ends=counts.steps,
    )
    return Run(setting=setting, counts=counts, reported=reported, loader=loader, planned_per_pass=Fraction(planned))


def _never_steps(setting: Setting, asked: int, per_pass: int) -> InputError:
    window = setting.gradient_accumulation
    return InputError(
        f"transformers==4.48 with a gradient accumulation of {window} makes no step",
        rule=f"a pass of {per_pass} micro-steps has no full window, and of its last one it asks for "
        f"{setting.samples} % {window} = {asked}",
        consequence="the run ends at step 0",
        fixes=(f"a gradient accumulation of {per_pass} or less", "another version"),
    )


def _never_ends(setting: Setting, per_pass: int) -> InputError:
    micro_steps = f"{per_pass} micro-step{'s' * (per_pass > 1)}"
    return InputError(
        f"transformers-streaming with a gradient accumulation of {setting.gradient_accumulation} makes no step",
        rule=f"a pass of {setting.samples:,} samples is {micro_steps}, less than a window, and a stream's Trainer "
        "steps with full windows of a pass only",
        consequence="it would never end",
        fixes=f"a gradient accumulation of {per_pass}{' or less' * (per_pass > 1)}",
    )


TRANSFORMERS = Framework(
    name="transformers",
    aliases=("hf", "hf-trainer", "trainer", "huggingface"),
    versions=(
        Version(
            name="4.44",
            basis="measured on 4.44.2",
            measured="4.44",
            run=_carries,
            causes=(even_batches, drop_last, floored_plan, carried_window, short_pass, short_batch, multiplied_floats),
            unevens=("pad", "drop"),
            last_windows=("carry",),
        ),
        Version(
            name="4.48",
            basis="measured on 4.48.3",
            measured="4.48",
            run=_floors_its_plan,
            causes=(
                even_batches,
                drop_last,
                wrong_remainder,
                floored_plan,
                flushed_window,
                short_batch,
                multiplied_floats,
            ),
            unevens=("pad", "drop"),
            last_windows=("flush",),
        ),
        Version(
            name="5",
            basis="measured on 5.23.0",
            measured="5.23",
            run=_flushes,
            causes=(even_batches, drop_last, flushed_window, short_batch, multiplied_floats),
            unevens=("pad", "drop"),
            last_windows=("flush",),
        ),
    ),
)

TRANSFORMERS_STREAMING = Framework(
    name="transformers-streaming",
    aliases=("hf-streaming", "hf-trainer-streaming", "trainer-streaming", "transformers-stream", "hf-stream"),
    versions=(
        Version(
            name="5",
            basis="measured on 5.23.0",
            measured="5.23",
            run=_streams,
            causes=(stream_epoch, leaked_window, dispatcher_padding, drop_last_ignored, steps_by_hand),
            unevens=("pad", "drop"),
        ),
    ),
)
