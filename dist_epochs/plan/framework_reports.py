"""What each framework would report of a plan, and why that differs from what really happens."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from dist_epochs.arithmetic.quantity import Unit
from dist_epochs.errors import InputError
from dist_epochs.frameworks.causes.effects import by_effect
from dist_epochs.frameworks.registry import ALL, FRAMEWORKS, FrameworkVersion, find
from dist_epochs.frameworks.run import Cause, Run
from dist_epochs.frameworks.setting import Setting
from dist_epochs.plan.foreign_loop import foreign_uneven, micro_batches
from dist_epochs.plan.plan import Plan
from dist_epochs.rules import rule_name

__all__ = ["FrameworkReport", "framework_reports"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameworkReport:
    """What a framework reports of a plan, and what really happens.

    Attributes:
        chosen: The framework and its version.
        run: The run; None where it cannot run the plan.
        causes: Why its numbers part from the true ones, the largest effect first where that can be told.
        refusal: Why it cannot run it.
    """

    chosen: FrameworkVersion
    run: Run | None = None
    causes: tuple[Cause, ...] = ()
    refusal: InputError | None = None


def framework_reports(plan: Plan, names: Sequence[str], assumed: Collection[str] = ()) -> list[FrameworkReport]:
    """What each of some frameworks reports of a plan.

    Args:
        plan: The plan.
        names: NAME or NAME==VERSION of each; `all` stands for every one. One that cannot run the plan says why, in its
            place.
        assumed: Of `uneven` and `last_window`, what the plan assumes and nobody has said.

    Raises:
        InputError: If a framework is not known, or the plan says too little for any.
    """
    chosen = [find(name) for name in names if name.strip().lower() != ALL]
    said = _setting_of(plan)
    setting = replace(
        said,
        uneven=None if "uneven" in assumed else said.uneven,
        last_window=None if "last_window" in assumed else said.last_window,
    )
    if len(chosen) < len(names):
        chosen = [FrameworkVersion(framework, version) for framework in FRAMEWORKS for version in framework.versions]
    return [_report(each, setting) for each in chosen]


def _report(chosen: FrameworkVersion, setting: Setting) -> FrameworkReport:
    try:
        chosen.version.check(setting, chosen.title)
        run = chosen.version.run(setting)
    except InputError as error:
        return FrameworkReport(chosen=chosen, refusal=error)
    said = {rule: message for rule in chosen.version.causes if (message := rule(run))}
    causes = tuple(Cause(rule_name(rule), said[rule]) for rule in by_effect(tuple(said), run))
    return FrameworkReport(chosen=chosen, run=run, causes=causes)


def _setting_of(plan: Plan) -> Setting:
    """What a plan tells a framework.

    Raises:
        InputError: If something that every framework needs is missing, or the plan is not one loop over one corpus.
    """
    recipe, batch = plan.recipe, plan.recipe.batch
    _check_one_loop(plan)
    missing = {
        "--per-device (samples of a micro-batch)": batch.per_device is None,
        "--devices": batch.devices is None and None in (batch.global_batch, batch.gradient_accumulation),
        "--corpus": plan.corpus_size is None,
    }
    if any(missing.values()):
        names = " and ".join(name for name, is_missing in missing.items() if is_missing)
        raise InputError(
            f"--like needs {names}",
            rule="what a framework reports follows from samples, samples per device, devices, accumulation, and epochs "
            "or steps",
        )
    samples, tokens = _corpus(plan)
    size = plan.batches[0].data_parallel_size
    per_device, accumulation = micro_batches(recipe, size)
    ((name, amount), *_) = plan.amounts
    return Setting(
        samples=samples,
        per_device=per_device,
        data_parallel_size=size,
        gradient_accumulation=accumulation,
        epochs=amount if name == "epochs" else None,
        steps=None if name == "epochs" else plan.steps,
        devices=plan.devices,
        uneven=foreign_uneven(batch.uneven),
        last_window=batch.last_window,
        tokens=tokens,
        sequence_length=recipe.phases[0].sequence_length,
        is_estimate=plan.is_estimate,
    )


def _check_one_loop(plan: Plan) -> None:
    """Frameworks are laid beside one loop over one corpus with one batch."""
    batch = plan.recipe.batch
    several = {
        "phases": len(plan.recipe.phases) > 1,
        "a batch ramp": batch.ramp is not None,
        "a mixture of sources": len(plan.sources) > 1,
        "sampling with replacement": batch.replacement,
        "uneven: allow": batch.uneven == "allow",
    }
    found = [name for name, is_there in several.items() if is_there]
    if found:
        raise InputError(
            f"--like compares one loop over one corpus, and this plan has {' and '.join(found)}",
            rule="the loops of frameworks do not know that",
            fixes=("one phase, one source and one batch", "leaving --like out"),
        )


def _corpus(plan: Plan) -> tuple[int, int | None]:
    """Samples and tokens of the corpus; samples are ⌊tokens ÷ length⌋ where nothing was packed."""
    size, length = plan.corpus_size, plan.recipe.phases[0].sequence_length
    assert size is not None
    if size.unit is Unit.SAMPLE:
        return int(size.value), None
    assert length is not None  # the recipe checks it
    one_pass = plan.pass_at(length)
    if one_pass is None:
        raise InputError(
            f"--like counts samples, and the store is not packed at length {length}",
            fixes=("packing it", "another length"),
        )
    if one_pass < 1:
        raise InputError(f"--like counts samples, and {size.value} tokens are less than one of length {length}")
    return int(one_pass), int(size.value)
