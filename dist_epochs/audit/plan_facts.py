"""What a plan gives an audit: its settings and results as facts, and how everything that may be stated follows."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from dist_epochs.arithmetic.quantity import Quantity, Unit
from dist_epochs.audit.expression import Expression, Name, Number, total
from dist_epochs.audit.fact import Fact
from dist_epochs.plan.plan import Plan
from dist_epochs.plan.speed import GUESSED_MFU, Speed

__all__ = ["derived", "drawn_formula", "exact", "plan_facts", "plan_formulas"]

MOST_STRETCHES = 8
"""Stretches of equal steps that are written out one by one; with more, their sums come from the plan."""

GUESS = f"a guess of the utilization, {float(GUESSED_MFU.low):.0%} to {float(GUESSED_MFU.high):.0%}"
"""Why a number is assumed that rests on it."""

SECONDS = Number("3600")
"""Of an hour."""


def exact(value: Fraction | int, unit: Unit | None = None) -> Fact:
    """A setting."""
    return Fact(number=Quantity.exact(value, unit), exact=True)


def derived(value: Fraction | int, origin: str, unit: Unit | None = None) -> Fact:
    """A number that only the plan knows, and what it was worked out from; it cannot be mistyped."""
    return Fact(number=Quantity.exact(value, unit), exact=True, derived=True, read_in=origin)


def plan_facts(plan: Plan) -> Iterator[tuple[str, Fact]]:
    """The settings of a plan as facts, which may be mistyped, and what it derives, which cannot be."""
    yield from _batch_facts(plan)
    if _is_written_out(plan):
        for index, phase in enumerate(plan.phases):
            yield f"steps{_suffix(plan, index)}", _setting(plan, phase.steps, Unit.STEP)
            if plan.has_positions and phase.sequence_length is not None:
                yield f"sequence_length{_suffix(plan, index)}", _setting(plan, phase.sequence_length)
    else:
        yield "steps", _from_plan(plan, plan.steps)
        yield "samples", _from_plan(plan, plan.samples)
        if plan.positions is not None:
            yield "positions", _from_plan(plan, plan.positions)
    if _micro_steps(plan) == Name("micro_steps"):
        yield "micro_steps", _from_plan(plan, plan.micro_steps)
    yield from _model_facts(plan)
    yield from _corpus_facts(plan)
    if plan.cost.wall_hours is not None or plan.cost.device_hours is not None:
        yield from _speed_facts(plan)


def _batch_facts(plan: Plan) -> Iterator[tuple[str, Fact]]:
    batch = plan.recipe.batch
    if _is_product(plan):
        assert batch.data_parallel_size is not None
        assert batch.per_device is not None
        assert batch.gradient_accumulation is not None
        yield "devices", _setting(plan, batch.data_parallel_size, Unit.DEVICE)
        yield "per_device", _setting(plan, batch.per_device, Unit.SAMPLE)
        yield "gradient_accumulation", _setting(plan, batch.gradient_accumulation)
        return
    for index, phase in enumerate(plan.phases if _has_batches(plan) else ()):
        yield f"global_batch_{index}", _setting(plan, phase.global_batch, Unit.SAMPLE)
    largest = max(phase.global_batch for phase in plan.phases)
    if _has_batches(plan) or batch.ramp is not None or plan.loop is not None:
        yield "global_batch", derived(largest, "the plan: its largest batch", Unit.SAMPLE)
    elif _has_own_steps(plan):
        yield "global_batch", exact(largest, Unit.SAMPLE)
    else:
        yield "global_batch", derived(largest, "the recipe's batch", Unit.SAMPLE)


def _model_facts(plan: Plan) -> Iterator[tuple[str, Fact]]:
    model, cost = plan.recipe.model, plan.cost
    if _is_sized(plan) and model is not None and model.parameters is not None:
        yield "parameters", Fact(number=model.parameters)
    elif cost.parameters is not None:
        yield "parameters", derived(cost.parameters, "the plan: the model's configuration")
    if cost.positions != plan.positions and cost.positions is not None:
        yield "positions_computed", derived(cost.positions, "the plan: what the loop computes, drops included")
    if cost.flops is not None and cost.positions and not _is_sized(plan):
        yield "flops_per_token", derived(cost.flops / cost.positions, "the plan: the model's configuration")


def _is_sized(plan: Plan) -> bool:
    """Whether the model is its number of parameters, all of them trained: 6 FLOPs each."""
    model = plan.recipe.model
    return model is not None and model.parameters is not None and not model.is_partly_trained


def _corpus_facts(plan: Plan) -> Iterator[tuple[str, Fact]]:
    """The size of the corpus, as precise as it was written."""
    corpus, size = plan.recipe.corpus, plan.corpus_size
    if corpus.words is not None and corpus.tokens_per_word is not None:
        yield "words", Fact(number=corpus.words)
        yield "tokens_per_word", exact(corpus.tokens_per_word.value)
    elif size is not None and size.text:
        yield "corpus", Fact(number=size)
    elif size is not None:
        ends = (Quantity.exact(size.low), Quantity.exact(size.high))
        origin = "the plan: the sizes of the sources"
        yield "corpus", Fact(number=Quantity.exact(size.value), between=ends, derived=True, read_in=origin)


def _speed_facts(plan: Plan) -> Iterator[tuple[str, Fact]]:
    """What hours and money rest on."""
    speed = plan.cost.speed
    assert speed is not None
    hardware = speed.hardware
    if speed.devices is not None and _all_devices(plan) == Name("all_devices"):
        yield "all_devices", exact(speed.devices, Unit.DEVICE)
    if speed.positions_per_second is not None:
        yield "tokens_per_second", exact(speed.positions_per_second)
    else:
        assert speed.peak is not None
        is_stated = hardware.peak_tflops is not None
        yield "peak_flops", exact(speed.peak) if is_stated else derived(speed.peak, "the table of devices")
        yield "mfu", _utilization(speed)
    if speed.lost_hours:
        yield "lost_hours", derived(speed.lost_hours, "the plan: the restarts")
    if hardware.price is not None:
        yield "price_per_device_hour", exact(hardware.price)


def _utilization(speed: Speed) -> Fact:
    """The utilization: stated, as a number or a range, or a guess; no claim is called wrong because of a guess.

    The point of a range is the one at which the hours are in the middle of theirs, as the plan shows them.
    """
    low, high = speed.mfu.low, speed.mfu.high
    if low == high:
        return exact(low)
    return Fact(
        number=Quantity.exact(2 / (1 / low + 1 / high)),
        between=(Quantity.exact(low), Quantity.exact(high)),
        derived=speed.is_guess,
        assumed=GUESS if speed.is_guess else None,
    )


def _setting(plan: Plan, value: Fraction | int, unit: Unit | None = None) -> Fact:
    """A setting as it was written, or what the plan makes of others."""
    return exact(value, unit) if _has_own_steps(plan) else _from_plan(plan, value, unit)


def _from_plan(plan: Plan, value: Fraction | int, unit: Unit | None = None) -> Fact:
    """What only the plan knows; if it rests on a guess, it says so."""
    if plan.cost.speed is not None and plan.cost.speed.is_guess and {"hours", "money"} & _measures(plan):
        return Fact(number=Quantity.exact(value, unit), exact=True, derived=True, assumed=GUESS)
    return derived(value, f"the plan: {_origin(plan)}", unit)


def _origin(plan: Plan) -> str:
    """Which settings its steps come from."""
    if plan.loop is not None:
        return "the loop, with its windows and drops"
    if plan.recipe.batch.ramp is not None:
        return f"{len(plan.phases)} stretches of the ramp"
    if plan.recipe.length_budget is not None:
        name, amount = plan.recipe.length_budget.amount
        return f"the budget of {float(amount):,.12g} {name}"
    if _has_own_steps(plan):
        return "the phases"
    return f"phases in {' and '.join(sorted(_measures(plan)))}"


def _measures(plan: Plan) -> set[str]:
    """What the run's length was asked for in."""
    return {name for name, _ in plan.amounts}


def _has_own_steps(plan: Plan) -> bool:
    """Whether steps, lengths and batches are the recipe's own, phase by phase, and not worked out from others."""
    recipe = plan.recipe
    if plan.loop is not None or recipe.batch.ramp or recipe.length_budget or _measures(plan) != {"steps"}:
        return False
    return plan.stretches == tuple(range(len(recipe.phases)))


def _is_written_out(plan: Plan) -> bool:
    """Whether results are sums over stretches of steps × batch × length."""
    return plan.loop is None and len(plan.phases) <= MOST_STRETCHES


def _has_batches(plan: Plan) -> bool:
    """Whether its stretches differ in their batch, and are written out."""
    return _is_written_out(plan) and len({phase.global_batch for phase in plan.phases}) > 1


def _is_product(plan: Plan) -> bool:
    """Whether the batch is devices × per device × accumulation, as written."""
    batch = plan.recipe.batch
    factors = (batch.devices, batch.per_device, batch.gradient_accumulation)
    is_one = len({phase.global_batch for phase in plan.phases}) == 1
    own = plan.loop is None and batch.ramp is None and is_one
    return own and batch.global_batch is None and None not in factors


def _all_devices(plan: Plan) -> Name:
    """All devices; where all of them see different data, those in the batch."""
    batch = plan.recipe.batch
    is_one = _is_product(plan) and batch.data_parallel_size == batch.devices
    return Name("devices" if is_one else "all_devices")


def _suffix(plan: Plan, index: int) -> str:
    return f"_{index}" if len(plan.phases) > 1 else ""


def plan_formulas(plan: Plan) -> dict[str, Expression]:
    """How everything that may be stated follows from the facts; what cannot be known is left out.

    `global_batch_positions` is the global batch counted in tokens, as papers do; it needs one length.
    """
    batch = _batch(plan)
    steps, samples, positions = _sums(plan, batch)
    found = {"steps": steps, "samples": samples, "global_batch": batch, "micro_steps": _micro_steps(plan)}
    if plan.has_positions:
        found |= {"tokens": positions, "positions": positions}
    if plan.has_positions and _is_written_out(plan) and len(plan.phases) == 1:
        found["global_batch_positions"] = batch * Name("sequence_length")
    size = Name("words") * Name("tokens_per_word") if plan.recipe.corpus.words is not None else Name("corpus")
    if plan.corpus_size is not None:
        found["epochs"] = (positions if plan.counts_tokens and plan.has_positions else samples) / size
    if plan.cost.parameters is not None:
        found["parameters"] = Name("parameters")
    priced = positions if plan.cost.positions == plan.positions else Name("positions_computed")
    flops = None
    if plan.cost.flops is not None:
        per_token = Number("6") * Name("parameters") if _is_sized(plan) else Name("flops_per_token")
        flops = per_token * priced
        found |= {"flops_per_token": per_token, "flops": flops}
    return found | dict(_hours(plan, priced, flops))


def drawn_formula(plan: Plan) -> Expression:
    """What the run draws, in the unit of the corpus."""
    _, samples, positions = _sums(plan, _batch(plan))
    return positions if plan.counts_tokens else samples


def _batch(plan: Plan) -> Expression:
    if _is_product(plan):
        return Name("devices") * Name("per_device") * Name("gradient_accumulation")
    return Name("global_batch")


def _sums(plan: Plan, batch: Expression) -> tuple[Expression, Expression, Expression]:
    """Steps, samples and positions over all stretches."""
    if not _is_written_out(plan):
        return Name("steps"), Name("samples"), Name("positions")
    endings = [_suffix(plan, index) for index in range(len(plan.phases))]
    steps, lengths = ([Name(f"{name}{ending}") for ending in endings] for name in ("steps", "sequence_length"))
    if _has_batches(plan):
        samples = [each * Name(f"global_batch{ending}") for each, ending in zip(steps, endings, strict=True)]
        positions = [each * length for each, length in zip(samples, lengths, strict=True)]
        return total(steps), total(samples), total(positions)
    positions = [each * length for each, length in zip(steps, lengths, strict=True)]
    return total(steps), batch * total(steps), batch * total(positions)


def _micro_steps(plan: Plan) -> Expression:
    if _is_product(plan) and plan.micro_steps == (plan.recipe.batch.gradient_accumulation or 1) * plan.steps:
        return Name("gradient_accumulation") * _sums(plan, _batch(plan))[0]
    return Name("micro_steps")


def _hours(plan: Plan, positions: Expression, flops: Expression | None) -> Iterator[tuple[str, Expression]]:
    """Hours and money, as `pricing.price` computes them."""
    cost, speed = plan.cost, plan.cost.speed
    if speed is None or (cost.wall_hours is None and cost.device_hours is None):
        return
    devices, lost = _all_devices(plan), Name("lost_hours") if speed.lost_hours else None
    if speed.positions_per_second is not None:
        run = positions / Name("tokens_per_second")
        wall = whole = run / SECONDS
        wall = wall if lost is None else wall + lost
        if speed.devices is not None:
            whole = devices * wall
    else:
        assert flops is not None
        run = flops / (Name("peak_flops") * Name("mfu"))
        wall, whole = run / devices / SECONDS, run / SECONDS
        if lost is not None:
            wall, whole = wall + lost, whole + devices * lost if speed.devices is not None else whole
    if cost.wall_hours is not None:
        yield "hours", wall
    if cost.device_hours is not None:
        yield "device_hours", whole
        if cost.price is not None:
            yield "price", whole * Name("price_per_device_hour")
