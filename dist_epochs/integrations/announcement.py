"""One line, before the HF Trainer starts, about the steps and epochs that it will do."""

from __future__ import annotations

from dist_epochs.arithmetic.text import scaled
from dist_epochs.errors import InputError
from dist_epochs.frameworks.registry import find
from dist_epochs.frameworks.setting import Setting
from dist_epochs.integrations.loader_facts import LoaderFacts
from dist_epochs.rules import rule_name

__all__ = ["announcement"]


def announcement(
    *, steps: int, per_device: int, ranks: int, accumulation: int, samples: int | None, loader: LoaderFacts
) -> str:
    """Steps, samples and epochs of a run, and the epoch that the Trainer will report.

    Args:
        steps: Optimizer steps of the run.
        per_device: Samples of a micro-batch, on one rank.
        ranks: Ranks that see different data.
        accumulation: Micro-steps of a step.
        samples: Samples of one pass over the data; None if not known yet.
        loader: How the samples are shared among the ranks.

    Examples:
        >>> stream = LoaderFacts(is_stream=True)
        >>> print(announcement(steps=30, per_device=10, ranks=1, accumulation=4, samples=100, loader=stream))
        30 steps of 40 samples (1 rank × 10 per device × 4 accumulation) over 100 samples: 14.8 epochs, and the Trainer will say 14.07 (stream-epoch, leaked-window)
    """  # noqa: E501
    layout = f"{ranks} rank{'s' * (ranks > 1)} × {per_device} per device × {accumulation} accumulation"
    batch = f"{steps:,} steps of {ranks * per_device * accumulation:,} samples ({layout})"
    if samples is None:
        return f"{batch}; how many samples a pass has is learned in the first one"
    if loader.uneven == "keep":
        return f"{batch} over {samples:,} samples"
    setting = Setting(
        samples=samples,
        per_device=per_device,
        data_parallel_size=ranks,
        gradient_accumulation=accumulation,
        steps=steps,
        uneven="drop" if loader.uneven == "drop" else None,
    )
    version = find("transformers-streaming" if loader.is_stream else "transformers").version
    try:
        run = version.run(setting)
    except InputError as error:  # the run will fail, or take no step
        return f"{batch} over {samples:,} samples: {error}"
    said, true = run.reported.epoch, run.truth.epochs
    plan = f"{batch} over {samples:,} samples: {scaled(true)} epochs"
    if said is None or said == true:
        return plan
    causes = ", ".join(rule_name(rule) for rule in version.causes if rule(run))
    return f"{plan}, and the Trainer will say {scaled(said)} ({causes})"
