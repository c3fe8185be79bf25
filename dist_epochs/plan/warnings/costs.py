"""Speed, price and memory."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from dist_epochs.arithmetic.text import number, percent, rounded
from dist_epochs.plan.cost.hardware import sparse_twin
from dist_epochs.plan.cost.memory import GIB, Fit, fit
from dist_epochs.plan.cost.trained_part import not_known_of
from dist_epochs.plan.models import architecture_of
from dist_epochs.rules import rule

if TYPE_CHECKING:
    from dist_epochs.plan.plan import Plan

__all__ = [
    "assumed_precision",
    "fp32_peak",
    "guessed_mfu",
    "memory_too_small",
    "not_priced",
    "optimistic_mfu",
    "partly_trained_not_counted",
    "rate_of_one_device",
    "six_per_parameter",
    "sparse_peak",
    "tokens_per_parameter",
]

OPTIMISTIC_MFU = Fraction(60, 100)
HIGHEST_MEASURED = Fraction(70, 100)
SUSPICIOUS_UTILIZATION = Fraction(5, 100)
TOKENS_PER_PARAMETER = 20


@rule
def sparse_peak(plan: Plan) -> str | None:
    """The stated peak looks like the number for sparse matrices, which is twice what training can use.

    Data sheets print the rate with 2:4 structured sparsity in large letters: 1,979 TFLOP/s for an H100 in bf16.
    Dense training reaches at most half, 989. With the sparse peak the same run shows half the utilization, and a
    utilization that was measured against the dense peak promises twice the speed.

    What to do: state the dense peak, or only the device's name.
    """
    speed = plan.cost.speed
    if speed is None or speed.device is None or speed.hardware.peak_tflops is None:
        return None
    precision, stated = plan.recipe.arithmetic, speed.hardware.peak_tflops
    if not sparse_twin(speed.device, precision, stated * 10**12):
        return None
    dense = speed.device.peak_flops(precision) / 10**12
    return f"{float(stated):g} TFLOP/s is about twice the dense {float(dense):g} of {speed.device.name} in {precision}"


@rule
def optimistic_mfu(plan: Plan) -> str | None:
    """The utilization, stated or of a measured speed, is beyond what well-tuned runs reach.

    Model FLOPs utilization (PaLM, arXiv:2204.02311, appendix B) compares the model's own FLOPs with the dense peak.
    llm-foundry measured 40 to 46 % on eight H100 and up to 64 % on A100 for models of 1 to 7 billion parameters.
    Megatron counts half of causal attention, others add recomputation: their numbers are not comparable.

    Attention is counted in full here: causal models at great lengths, and documents that attend to themselves alone,
    compute less, and a measured speed may then look like more than it is.

    What to do: measure tokens a second for a few minutes and state `hardware.tokens_per_second` instead; of a measured
    speed, check which devices, precision and model it was measured with.
    """
    speed, measured = plan.cost.speed, plan.cost.utilization
    if measured is not None and measured > HIGHEST_MEASURED:
        return (
            f"the measured speed is {percent(measured)} of the dense peak, more than measured runs reach (26 to 64 %)"
        )
    if speed is None or speed.hardware.mfu is None or speed.mfu.high <= OPTIMISTIC_MFU:
        return None
    return f"{float(speed.mfu.high):.0%} of the dense peak is more than measured runs reach (26 to 64 %)"


@rule
def rate_of_one_device(plan: Plan) -> str | None:
    """A measured speed is so low that it looks like one device's, taken for that of all devices.

    `tokens_per_second` is counted over all devices together, and many logs print it for one. Below 5 % of the dense
    peak something is usually misread: the rate times the devices is then a utilization as measured runs have it, 26 to
    64 % (llm-foundry, scripts/train/benchmarking/README.md). Hours and price would be too many, as many times as there
    are devices.

    What to do: state the speed of all devices together. Small models do run below 5 %; then nothing is wrong.
    """
    utilization, speed = plan.cost.utilization, plan.cost.speed
    if utilization is None or speed is None or not speed.devices or speed.devices == 1:
        return None
    together = utilization * speed.devices
    if utilization >= SUSPICIOUS_UTILIZATION or together > 1 or speed.positions_per_second is None:
        return None
    rate = speed.positions_per_second
    return (
        f"{number(rate)} tokens a second on {speed.devices} devices are {percent(utilization)} of their dense peak. "
        f"One device's rate? × {speed.devices} = {number(rate * speed.devices)}, {percent(together)}"
    )


@rule
def memory_too_small(plan: Plan) -> str | None:
    """The model's states and activations may not fit into one device.

    Adam in mixed precision keeps 16 bytes a parameter; ZeRO stages 1, 2, 3 (FSDP) spread optimizer states, gradients
    and weights over the data-parallel devices. Where only the number of parameters is known, that is all that is
    counted, a floor. Frozen weights keep only themselves. Activations depend on the samples a device takes at once and
    on recomputation; their range is an estimate, and a gigabyte or two of context and fragmentation come on top.

    What to do: a smaller `per_device`, a higher `zero_stage`, `activation_checkpointing`, or tensor parallelism.
    """
    memory, speed = plan.cost.memory, plan.cost.speed
    if memory is None or speed is None or speed.device is None:
        return None
    sizes = speed.device.memories_gb
    recomputed = speed.hardware.activation_checkpointing
    verdict = {
        Fit.FITS: None,
        Fit.TIGHT: "may not fit",
        Fit.TOO_LARGE: f"does not fit{'' if recomputed else ' without activation checkpointing'}",
        Fit.STATES_TOO_LARGE: "weights, gradients and Adam alone do not fit; a higher zero_stage or tensor_parallel "
        "spreads them",
    }[fit(memory, sizes[0])]
    if verdict is None:
        return None
    low, high, whole, most = (float(size) for size in (memory.total.low / GIB, memory.total.high / GIB, *sizes))
    needed = f"at least {low:.3g}" if memory.is_floor else f"{low:.3g} to {high:.3g}"
    capacity = f"{whole:.3g}" if whole == most else f"{whole:.3g} or {most:.3g}"
    return f"{needed} GiB of {capacity} on one {speed.device.name}: {verdict}"


@rule
def guessed_mfu(plan: Plan) -> str | None:
    """Hours and price are a range, since how well the devices are used is a guess.

    Measured runs lie between 26 and 64 % of the dense peak; without a stated utilization 30 to 45 % are assumed.

    What to do: `--mfu 40%` from a run of the same kind, or better `--tokens-per-second` from a measurement.
    """
    speed = plan.cost.speed
    if speed is None or not speed.is_guess or plan.cost.device_hours is None:
        return None
    low, high = float(speed.mfu.low), float(speed.mfu.high)
    assumed = f"hours assume {low:.0%} to {high:.0%} of the dense peak; nothing was measured"
    hours, lost = plan.cost.wall_hours, speed.lost_hours
    budget = plan.recipe.length_budget
    if budget is None or budget.amount[0] not in ("hours", "money") or hours is None:
        return assumed
    ends = [int(plan.steps * (hours.point - lost) / (end - lost)) for end in (hours.high, hours.low)]
    return f"{assumed}. The steps are those of the middle; the budget may pay for {ends[0]:,} to {ends[1]:,}"


@rule
def six_per_parameter(plan: Plan) -> str | None:
    """FLOPs are 6 per parameter and token (4 of a frozen one), since only the number of parameters is stated.

    The rule leaves out attention, which is 6 % of a 7-billion model at length 2,048 and 20 % of smaller ones or longer
    sequences, and counts embedding tables that are only looked up.

    What to do: give the model's `config.json` or a size name.
    """
    model = plan.recipe.model
    if model is None or model.parameters is None:
        return None
    if plan.cost.flops is None or not plan.cost.positions:
        return None
    flops = float(plan.cost.flops / plan.cost.positions)
    return f"{flops:.4g} FLOPs a token leave out attention: 6 to 20 % too few for usual models"


@rule
def not_priced(plan: Plan) -> str | None:
    """Hardware is stated, and its hours, price or memory cannot be told.

    Hours need FLOPs (a model and a sequence length) and a peak (a device, or `peak_tflops`), or a measured
    `tokens_per_second` with the number of devices. BERT, RoBERTa, ModernBERT, GPT-2 and Llama are priced by formula,
    without torch; `--exact` builds any other model on torch's meta device and counts.

    What to do: state what the message names.
    """
    cost, speed, model = plan.cost, plan.cost.speed, plan.recipe.model
    if speed is None or cost.device_hours is not None or (cost.wall_hours is not None and not speed.hardware.price):
        return None
    if not plan.has_positions:
        missing = "a sequence length: samples without one have no tokens to price"
    elif speed.positions_per_second is not None:
        missing = "batch.devices: device-hours are counted over all of them"
    elif model is None:
        missing = "a model (--model or --parameters), or tokens_per_second"
    elif cost.flops is None and (part := not_known_of(model)) is not None:
        missing = f"what is trained: the FLOPs are not known for {part}"
    elif cost.flops is None:
        missing = "the FLOPs of this family, which is not known by formula: plan with --exact, or give model.parameters"
    else:
        missing = "the device (--devices 8xH100), peak_tflops or tokens_per_second"
    return f"hours and price are not known without {missing}"


@rule
def partly_trained_not_counted(plan: Plan) -> str | None:
    """The run trains a part of the parameters, and what it says of them is not enough to count FLOPs and memory.

    Full training would have up to 6 FLOPs and 16 bytes for each parameter; beside frozen weights those are 4 and 2 (or
    the bits of quantized weights), and adapters come on top. A LoRA adapter of rank r adds r × (in + out) parameters to
    each target (Hu et al., arXiv:2106.09685). Full training is never priced in its place.

    What to do: state `model.adapter.rank` and `targets` with a model whose sizes are known, or `adapter.parameters`,
    the number that PEFT prints as trainable; of frozen weights `frozen.layers` or `frozen.trained`.
    """
    part = not_known_of(plan.recipe.model)
    if part is None or plan.cost.trained is not None:
        return None
    return f"FLOPs and memory are not known for {part}: {_missing_of_the_trained(plan)}"


def _missing_of_the_trained(plan: Plan) -> str:
    """What a recipe would have to say of the parameters that it trains."""
    model = plan.recipe.model
    assert model is not None
    if model.config is None and model.parameters is None:
        return "the model is not stated (--model or --parameters)"
    if model.parameters is None and architecture_of(model) is None:
        return "the sizes of this family are not known by formula; plan with --exact, or give model.parameters"
    if model.adapter is None:
        return "frozen.layers (with a model whose sizes are known) or frozen.trained is not stated"
    if model.adapter.kind == "other":
        return "kind is other, which is none that is counted here"
    return "adapter.rank and targets (with a model whose sizes are known) or adapter.parameters are not stated"


@rule
def tokens_per_parameter(plan: Plan) -> str | None:
    """How many tokens a parameter is trained on, beside the compute-optimal 20.

    About 20 tokens a parameter give the lowest loss for a given compute (Hoffmann et al. 2022, arXiv:2203.15556).
    Models that will be used a lot are trained on far more; far fewer means that a smaller model would do better.

    A run that trains a part of the parameters is none that the rule is about.

    What to do: nothing, if it is meant.
    """
    parameters, positions = plan.cost.parameters, plan.positions
    if not parameters or positions is None or plan.cost.trained != parameters:
        return None
    ratio = Fraction(positions, parameters)
    if TOKENS_PER_PARAMETER / 4 <= ratio <= TOKENS_PER_PARAMETER * 4:
        return None
    return f"{rounded(ratio)} tokens a parameter; about {TOKENS_PER_PARAMETER} are compute-optimal"


@rule
def assumed_precision(plan: Plan) -> str | None:
    """The recipe states no precision, and hours and memory rest on one.

    Where none is stated, bf16 is priced and bf16 is trained: mixed precision with bf16 matrix products, as nearly all
    pretraining runs today. In fp32 the same run takes several times as long. Other trainers have other defaults: the HF
    Trainer and Accelerate take fp32.

    What to do: write `precision: bf16` into the recipe, or `--precision fp32`, tf32 or fp16.
    """
    cost = plan.cost
    states_only = cost.memory is None or cost.memory.is_floor  # which are 16 bytes a parameter in each precision
    if plan.recipe.precision is not None or (cost.device_hours is None and states_only):
        return None
    if states_only and cost.utilization is None and cost.speed and cost.speed.positions_per_second is not None:
        return None
    return f"the recipe states no precision, and {plan.recipe.arithmetic} is taken, as in training"


@rule
def fp32_peak(plan: Plan) -> str | None:
    """Hours in fp32 are computed with the TF32 peak, which PyTorch does not use unless told.

    `torch.set_float32_matmul_precision("high")` turns TF32 on. Without it matrix products in fp32 run on other units,
    about eight times slower on an A100, and the hours are that many times more.

    What to do: train in bf16 or tf32, or state `peak_tflops` (19.5 for an A100 without TF32).
    """
    speed = plan.cost.speed
    if plan.recipe.precision != "fp32" or speed is None or speed.device is None or plan.cost.device_hours is None:
        return None
    if speed.hardware.peak_tflops is not None or speed.positions_per_second is not None:
        return None
    return f"hours in fp32 take the TF32 peak of {speed.device.name}, which PyTorch does not use unless told"
