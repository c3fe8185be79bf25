"""What to know about a plan. Each rule is a function; its docstring is the page that `dist-epochs explain` shows.

A rule looks at a finished plan and returns a message with its numbers, or None. Warnings make `--strict` fail,
notes only inform.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from fractions import Fraction

from dist_epochs.arithmetic.loader import Loader
from dist_epochs.arithmetic.quantity import Unit
from dist_epochs.plan.cost.hardware import sparse_twin
from dist_epochs.plan.cost.pricing import SixPerParameter
from dist_epochs.plan.plan import Plan, Warning
from dist_epochs.plan.repeats import RepeatBand, repeat_band, unique_equivalents, worth_per_token

__all__ = ["NOTES", "WARNINGS", "check", "page", "rule_names"]

Rule = Callable[[Plan], str | None]

OPTIMISTIC_MFU = Fraction(60, 100)
TIGHT_MEMORY = Fraction(90, 100)
TOKENS_PER_PARAMETER = 20
GIB = 2**30


def check(plan: Plan, data_parallel_size: int | None) -> tuple[Warning, ...]:
    """All that is to be known about a plan, warnings first.

    Args:
        plan: The plan.
        data_parallel_size: Devices of a launch that already runs; then none need to be stated.
    """
    found = [Warning(_name(rule), message, False) for rule in WARNINGS if (message := rule(plan))]
    for rule in NOTES:
        if rule is devices_not_stated and data_parallel_size is not None:
            continue
        if message := rule(plan):
            found.append(Warning(_name(rule), message, True))
    return tuple(found)


def rule_names() -> tuple[str, ...]:
    """The names of all rules."""
    return tuple(_name(rule) for rule in (*WARNINGS, *NOTES))


def page(name: str) -> str | None:
    """The page of a rule; None if there is no such rule."""
    for rule in (*WARNINGS, *NOTES):
        if _name(rule) == name:
            return inspect.getdoc(rule)
    return None


def _name(rule: Rule) -> str:
    return rule.__name__.replace("_", "-")


def words_as_tokens(plan: Plan) -> str | None:
    """A corpus in words is divided into batches in tokens, one word counting as one token.

    Papers do this: BERT's appendix divides 1,000,000 batches of 256 × 512 positions by 3.3 billion words and calls
    the result about 40 epochs. A subword tokenizer makes more than one token of a word (1.24 on WikiText-2 with
    BERT's own vocabulary, 1.3 to 1.5 for GPT-2's on web text), so the epochs are that much fewer.

    What to do: measure the ratio on your text with `dist-epochs tokenize SOURCE --tokenizer T --count-only`, and
    state it as `corpus.tokens_per_word` or `--tokens-per-word`.
    """
    ratio = plan.recipe.corpus.tokens_per_word
    if ratio is None or ratio.value != 1 or plan.facts is not None:
        return None
    epochs = plan.epochs["positions"]
    usual = f"; at 1.25 tokens a word they are {float(epochs / Fraction(5, 4)):.4g}" if epochs else ""
    return f"a word counts as one token, as papers do: {_number(epochs)} epochs{usual}"


def partial_window(plan: Plan) -> str | None:
    """A pass does not divide into whole accumulation windows, and libraries disagree on what then happens.

    With 74 micro-batches a pass and an accumulation of 6, the last window of a pass has 2. A loop may
    *flush* it (step with what there is: a smaller batch, and more steps a pass), *carry* it (go on into the next
    pass: as many steps as fit into all micro-batches), or *drop* it (draw it, compute it, and never step).
    200 steps are then 15.41, 16.22 or 16.22 epochs over 16.65 drawn passes. The HF Trainer carried until 4.44,
    floored its plan in 4.48 and flushes map-style data in 5.x; Lightning flushes; plain loops carry.

    What to do: name what your loop does with `--last-window flush|carry|drop`, or choose batches that divide the
    pass. This package's own batches run on across passes, so they have no partial window.
    """
    if plan.loop is None or plan.loop.loader.last_window == "carry":
        return None
    loader = plan.loop.loader
    rest = loader.micro_steps_per_pass % loader.gradient_accumulation
    if not rest:
        return None
    return (
        f"a pass is {loader.micro_steps_per_pass} micro-steps, which end with a window of {rest} instead of "
        f"{loader.gradient_accumulation}: {loader.last_window} makes {_number(loader.steps_per_pass)} steps a pass, "
        f"{_other_windows(loader)}"
    )


def _other_windows(loader: Loader) -> str:
    windows = Fraction(loader.micro_steps_per_pass, loader.gradient_accumulation)
    steps = {
        "flush": Fraction(-(-windows.numerator // windows.denominator)),
        "carry": windows,
        "drop": Fraction(int(windows)),
    }
    return ", ".join(f"{name} {_number(count)}" for name, count in steps.items() if name != loader.last_window)


def padded_duplicates(plan: Plan) -> str | None:
    """The last round of a pass is filled with samples from its start, which are trained twice in that pass.

    Accelerate's `even_batches` (on by default, also in the HF Trainer) gives every device the same number of full
    micro-batches. 101 samples on 4 devices with 8 each are 128 draws a pass, 27 of them duplicates; progress bars
    still say one epoch. Small corpora on many devices suffer most.

    What to do: nothing, if the share is small; else `--uneven drop`, a smaller `per_device`, or fewer devices.
    """
    if plan.loop is None or not plan.loop.loader.duplicates_per_pass:
        return None
    loader = plan.loop.loader
    return (
        f"each pass over {loader.samples:,} samples draws {loader.drawn_per_pass:,}: {loader.duplicates_per_pass:,} "
        f"duplicates (+{loader.duplicates_per_pass / loader.samples:.1%}) fill the last round"
    )


def dropped_data(plan: Plan) -> str | None:
    """A part of every pass is never trained: dropped by the loader, or drawn and left without a step.

    `drop_last` leaves out what does not fill a round on all devices; dropping the last accumulation window leaves
    out what does not fill a window. With 10,000 samples and a global batch of 4,096, 18.08 % of each pass is lost.
    With a new shuffle each pass it is another part each time, so after a few passes most samples have been seen, but
    an epoch stays shorter than it looks.

    What to do: a global batch that divides the corpus, a smaller one, or `--last-window flush --uneven pad`.
    """
    if plan.loop is None:
        return None
    loader = plan.loop.loader
    lost = loader.samples - min(loader.trained_per_pass, loader.samples)
    if not lost:
        return None
    return f"{lost:,} of {loader.samples:,} samples ({lost / loader.samples:.2%}) of each pass are never trained"


def uneven_ranks(plan: Plan) -> str | None:
    """Devices do not get the same number of samples.

    In somebody else's loop (`even_batches=False`) one device runs out of micro-batches first. With DDP the others
    then wait in the gradient reduction for ever, or the loop ends early on all, unless it joins uneven inputs.
    In this package `batch.uneven: allow` gives devices slices that differ by at most one sample, with an equal
    number of micro-steps, so nothing hangs and the gradient is the exact mean.

    What to do: in other loops pad or drop, or use torch's `Join`; here nothing.
    """
    if plan.loop is not None:
        loader = plan.loop.loader
        rest = loader.drawn_per_pass % loader.samples_per_round
        if loader.uneven != "keep" or not rest or loader.data_parallel_size == 1:
            return None
        idle = loader.data_parallel_size - -(-rest // loader.per_device)
        return (
            f"the last round of a pass has {rest} of {loader.samples_per_round} samples: {idle} of "
            f"{loader.data_parallel_size} devices have none, and wait, hang or end the pass early"
        )
    return None


def global_batch_not_reached(plan: Plan) -> str | None:
    """No step is as large as the global batch that the settings promise.

    A pass is shorter than one accumulation window and each pass ends its window, so every step is taken with less
    than devices × per device × accumulation samples. The learning rate was probably chosen for more.

    What to do: a smaller accumulation, or `--last-window carry`.
    """
    if plan.loop is None or plan.loop.loader.last_window != "flush":
        return None
    loader, promised = plan.loop.loader, plan.batches[0].samples
    if loader.drawn_per_pass >= promised:
        return None
    return (
        f"the global batch is {loader.data_parallel_size} × {loader.per_device} × {loader.gradient_accumulation} = "
        f"{promised:,}, and every step is taken at the end of a pass with {loader.drawn_per_pass:,} samples"
    )


def repeated_data(plan: Plan) -> str | None:
    """The corpus, or a source of it, is repeated so often that more of the same teaches little.

    By the data-constrained scaling law (Muennighoff et al. 2023, arXiv:2305.16264) up to about 4 epochs are nearly
    as good as fresh data, 16 are worth 10.6 fresh passes, 40 are worth 15.2, and no number is worth more than 16.4.
    The law was fitted on causal language models; masked models draw new masks each pass and stand more (BERT ran
    about 10 real epochs). It cannot predict the harm that over-repetition may do.

    What to do: more data, fewer steps, a cap with `corpus.max_epochs`, or weights that draw small sources less.
    """
    by_source = {f"source {source.name}": source.epochs for source in plan.sources} if len(plan.sources) > 1 else {}
    whole = plan.epochs["samples"]
    found = by_source or ({"the corpus": whole} if whole is not None else {})
    strong = {
        name: epochs for name, epochs in found.items() if repeat_band(epochs) not in (RepeatBand.NONE, RepeatBand.MILD)
    }
    if not strong:
        return None
    told = ", ".join(
        f"{name} {_number(epochs)} times (worth {unique_equivalents(epochs):.4g} fresh passes, "
        f"{worth_per_token(epochs):.0%} of new data)"
        for name, epochs in strong.items()
    )
    return f"{told}, by a law fitted on causal language models"


def over_the_cap(plan: Plan) -> str | None:
    """A source of the mixture is drawn more often than `corpus.max_epochs` allows.

    One average hides this: 300B tokens over 239B are 1.26 epochs, while the smallest source may be drawn 7.5 times.
    The message gives the share at which the source just fits; `fitting_share` in the JSON has the shares of all
    sources, with the freed part spread over the others in their proportions.

    What to do: write these shares as weights, draw less in all, or raise the cap.
    """
    cap = plan.recipe.corpus.max_epochs
    over = [source for source in plan.sources if cap is not None and source.epochs > cap]
    if cap is None:
        return None
    whole = plan.epochs["samples"]
    if not over:
        if len(plan.sources) < 2 and whole is not None and whole > cap:
            return f"the corpus is drawn {_number(whole)} times, and the cap is {_number(cap)}"
        return None
    told = ", ".join(
        f"{source.name} {_number(source.epochs)} times at {float(source.share):.4g}"
        + (f" (at most {float(source.fitting_share):.4g} fits)" if source.fitting_share is not None else "")
        for source in over
    )
    nothing = "" if over[0].fitting_share is not None else "; no weights fit, the sources are too small together"
    return f"the cap is {_number(cap)} epochs a source: {told}{nothing}"


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
    precision, stated = plan.recipe.precision or "bf16", speed.hardware.peak_tflops
    if not sparse_twin(speed.device, precision, stated * 10**12):
        return None
    dense = speed.device.peak_flops(precision) / 10**12
    return f"{float(stated):g} TFLOP/s is about twice the dense {float(dense):g} of {speed.device.name} in {precision}"


def optimistic_mfu(plan: Plan) -> str | None:
    """The stated utilization is beyond what well-tuned runs reach.

    Model FLOPs utilization (PaLM, arXiv:2204.02311, appendix B) compares the model's own FLOPs with the dense peak.
    llm-foundry measured 40 to 46 % on eight H100 and up to 64 % on A100 for models of 1 to 7 billion parameters.
    Megatron counts half of causal attention, others add recomputation: their numbers are not comparable.

    What to do: measure tokens a second for a few minutes and state `hardware.tokens_per_second` instead.
    """
    speed = plan.cost.speed
    if speed is None or speed.hardware.mfu is None or speed.mfu[1] <= OPTIMISTIC_MFU:
        return None
    return f"{float(speed.mfu[1]):.0%} of the dense peak is more than measured runs reach (26 to 64 %)"


def memory_too_small(plan: Plan) -> str | None:
    """The model's states and activations may not fit into one device.

    Adam in mixed precision keeps 16 bytes a parameter; ZeRO stages 1, 2, 3 (FSDP) spread optimizer states, gradients
    and weights over the data-parallel devices. Activations depend on the samples a device takes at once and on
    recomputation; their range is an estimate, and a gigabyte or two of context and fragmentation come on top.

    What to do: a smaller `per_device`, a higher `zero_stage`, recomputation, or tensor parallelism.
    """
    memory, speed = plan.cost.memory, plan.cost.speed
    if memory is None or speed is None or speed.device is None:
        return None
    capacity = speed.device.memory_gb * GIB  # sold in GB, built in GiB
    if memory.high <= TIGHT_MEMORY * capacity:
        return None
    low, high, whole = (float(size / GIB) for size in (memory.low, memory.high, capacity))
    shown = f"{low:.3g} to {high:.3g} GiB of {whole:.3g} on one {speed.device.name}"
    verdict = "does not fit without recomputation" if memory.low > capacity else "may not fit"
    return f"{shown}: {verdict}"


def warmup_beyond_the_run(plan: Plan) -> str | None:
    """The learning rate is still rising when the run ends.

    `optimizer.warmup_steps` counts optimizer steps, not micro-steps and not steps of each process.

    What to do: shorten the warm-up, or lengthen the run.
    """
    optimizer = plan.recipe.optimizer
    if optimizer is None or optimizer.warmup_steps <= plan.steps:
        return None
    return (
        f"optimizer.warmup_steps is {optimizer.warmup_steps:,} and the run has {plan.steps:,} steps: the learning rate "
        "never reaches its peak"
    )


def not_counted(plan: Plan) -> str | None:
    """The corpus is stated, not counted: samples and tokens are estimates without padding.

    Knowing the size of an epoch means tokenizing and packing. Before that, every position of a batch is taken for a
    token of the corpus, so padding is not taken off: real epochs are as much fewer as there is padding.

    What to do: `dist-epochs tokenize SOURCE --tokenizer T --out STORE --sequence-length …`, then plan on the store;
    every integer is then exact, and the ledger of the run will show the same ones.
    """
    if plan.facts is not None or not plan.has_positions or not (plan.counts_tokens or plan.corpus_size is None):
        return None
    store = plan.recipe.corpus.store
    there = f"there is no store at {store} (paths are relative to the recipe): " if store else ""
    count = f"`dist-epochs tokenize SOURCE --tokenizer T --out {store or 'STORE'} --sequence-length …`"
    return (
        f"{there}padding is not included, since samples and tokens of a pass are not known before the corpus is "
        f"counted: run {count} and plan on that"
    )


def not_packed(plan: Plan) -> str | None:
    """The store has no samples of a length that the recipe uses.

    Tokens are counted once, but samples belong to a length: documents are packed into samples of 128 and of 512
    separately.

    What to do: `dist-epochs tokenize STORE --sequence-length LENGTH`.
    """
    if plan.facts is None:
        return None
    missing = [length for length in plan.lengths if plan.pass_at(length) is None]
    if not missing:
        return None
    lengths = ",".join(map(str, missing))
    return (
        f"{plan.facts.store} is not packed at length {lengths}, so its samples and tokens are not known: "
        f"run `dist-epochs tokenize {plan.facts.store} --sequence-length {lengths}`"
    )


def devices_not_stated(plan: Plan) -> str | None:
    """The plan is for one device, since no number of devices is stated.

    With a stated global batch, samples, tokens and epochs do not depend on devices; micro-steps, hours and memory do.
    Without one, the global batch is devices × per device × accumulation, and everything depends on them.

    What to do: `batch.devices`, or `--devices 8xH100`.
    """
    if plan.recipe.batch.devices is not None:
        return None
    batch = plan.recipe.batch
    if batch.global_batch is None and batch.ramp is None:
        return "the global batch is that of one device, since batch.devices is not stated: everything depends on it"
    return (
        "micro-steps are those of one device: batch.devices is not stated. Samples, tokens and epochs do not "
        "depend on it."
    )


def per_device_not_stated(plan: Plan) -> str | None:
    """How many samples a device takes at once is not stated, so each step is planned as one micro-step.

    It decides micro-steps and memory, never what is drawn.

    What to do: `batch.per_device`, or `--per-device`; training needs it.
    """
    batch = plan.recipe.batch
    if batch.per_device is not None or batch.devices is None:
        return None
    return (
        f"batch.per_device is not stated: each device is planned to take {plan.batches[0].per_device} samples at once"
    )


def no_model(plan: Plan) -> str | None:
    """Tokens and loss tokens are not counted, since what the loss counts is not stated.

    A masked model learns from a fixed count of masked tokens in each sample, a causal one from every next token.

    What to do: `model.objective` and `model.config`.
    """
    if plan.recipe.model is not None or plan.facts is None or plan.loop is not None:
        return None
    return "tokens and loss tokens are not counted: model.objective decides what the loss counts"


def sequence_phases(plan: Plan) -> str | None:
    """The run has phases of different sequence length: one length cannot stand for all.

    BERT trained 90 % of its steps at length 128 and 10 % at 512. Multiplying all steps by 512, as "about 40 epochs"
    does, counts 3.1 times too many. Each phase has its own packing, so an epoch at one length has another number of
    samples than at the other; epochs add over phases.

    What to do: nothing; beware of numbers that multiply all steps by one length.
    """
    if len(plan.lengths) < 2 or plan.positions is None:
        return None
    longest = plan.lengths[-1]
    ratio = Fraction(plan.samples * longest, plan.positions)
    lengths = ", ".join(map(str, plan.lengths[:-1]))
    return (
        f"lengths {lengths} and {longest}: counting every step at {longest} would give "
        f"{float(ratio):.3g} times the positions"
    )


def budget_rounded(plan: Plan) -> str | None:
    """Steps do not divide the amount asked for.

    A run is made of whole steps, so an amount in tokens ends with the first step that reaches it. An amount in
    samples or epochs of counted samples ends exactly: the last step draws what is left. What hours, FLOPs or money
    pay for is not exceeded. Rounding happens once, at the end of the run.

    What to do: nothing, if the difference does not matter; else choose an amount that steps divide.
    """
    if plan.loop is not None:
        return None
    last = plan.batches[-1]
    if len(plan.batches) > 1 and plan.phases[-1].steps == 1 and last.uneven and plan.recipe.batch.uneven == "error":
        return f"the last step draws the {last.samples:,} samples that are left of the amount"
    if not plan.excess:
        return None
    unit = "positions" if plan.excess_unit is Unit.POSITION else f"{plan.excess_unit}s"
    share = plan.excess / (plan.positions if plan.excess_unit is Unit.POSITION and plan.positions else plan.samples)
    direction = "more" if plan.excess > 0 else "less"
    return (
        f"{plan.steps:,} whole steps draw {float(abs(plan.excess)):,.0f} {unit} {direction} than asked for "
        f"({float(abs(share)):.2g} of the run)"
    )


def mixture_average(plan: Plan) -> str | None:
    """The average number of epochs hides that each source has its own.

    Epochs of a mixture are samples drawn from a source ÷ samples of that source. A small source with a large weight
    is repeated many times while a large one is not finished once.

    What to do: read the table of sources; set `corpus.max_epochs`.
    """
    if len(plan.sources) < 2:
        return None
    least, most = (choose(plan.sources, key=lambda source: source.epochs) for choose in (min, max))
    average = plan.epochs["samples"]
    if average is None or most.epochs < 2 * least.epochs:
        return None
    return (
        f"{_number(average)} epochs on average, from {_number(least.epochs)} of {least.name} to {_number(most.epochs)} "
        f"of {most.name}"
    )


def with_replacement(plan: Plan) -> str | None:
    """Samples are drawn with replacement, so an epoch is a number of draws and not a pass.

    After as many draws as there are samples, 63.2 % of them have been seen and 36.8 % have not; after E such epochs
    1 − e^−E. Some samples come several times before others come once.

    What to do: read the coverage beside the epochs.
    """
    if not plan.recipe.batch.replacement:
        return None
    if plan.coverage is None:
        return "draws are with replacement: epochs are draws ÷ samples, not passes"
    return (
        f"{_number(plan.epochs['samples'])} epochs of draws see {float(plan.coverage):.2%} of the samples at least once"
    )


def guessed_mfu(plan: Plan) -> str | None:
    """Hours and price are a range, since how well the devices are used is a guess.

    Measured runs lie between 26 and 64 % of the dense peak; without a stated utilization 30 to 45 % are assumed.

    What to do: `--mfu 40%` from a run of the same kind, or better `--tokens-per-second` from a measurement.
    """
    speed = plan.cost.speed
    if speed is None or not speed.is_guess or plan.cost.device_hours is None:
        return None
    low, high = speed.mfu
    return f"hours assume {float(low):.0%} to {float(high):.0%} of the dense peak; nothing was measured"


def six_per_parameter(plan: Plan) -> str | None:
    """FLOPs are 6 per parameter and token, since only the number of parameters is stated.

    The rule leaves out attention, which is 6 % of a 7-billion model at length 2,048 and 20 % of smaller ones or longer
    sequences, and counts embedding tables that are only looked up.

    What to do: give the model's `config.json` or a size name.
    """
    model = plan.recipe.model
    if model is None or model.parameters is None:
        return None
    flops = SixPerParameter(int(model.parameters.value)).flops_per_token(1)
    return f"{flops:.4g} FLOPs a token leave out attention: 6 to 20 % too few for usual models"


def model_not_priced(plan: Plan) -> str | None:
    """The model's family has no closed form here, so its parameters and FLOPs are not known.

    BERT, RoBERTa, ModernBERT, GPT-2 and Llama are priced by formula, without torch.

    What to do: `--exact` builds the model on torch's meta device and counts; or state `model.parameters`.
    """
    model = plan.recipe.model
    if model is None or plan.cost.parameters is not None or plan.recipe.hardware is None:
        return None
    return "parameters and FLOPs of this family are not known by formula: plan with --exact, or give model.parameters"


def tokens_per_parameter(plan: Plan) -> str | None:
    """How many tokens a parameter is trained on, beside the compute-optimal 20.

    About 20 tokens a parameter give the lowest loss for a given compute (Hoffmann et al. 2022, arXiv:2203.15556).
    Models that will be used a lot are trained on far more; far fewer means that a smaller model would do better.

    What to do: nothing, if it is meant.
    """
    parameters, positions = plan.cost.parameters, plan.positions
    if not parameters or positions is None:
        return None
    ratio = Fraction(positions, parameters)
    if TOKENS_PER_PARAMETER / 4 <= ratio <= TOKENS_PER_PARAMETER * 4:
        return None
    return f"{float(ratio):.3g} tokens a parameter; about {TOKENS_PER_PARAMETER} are compute-optimal"


WARNINGS: tuple[Rule, ...] = (
    words_as_tokens,
    partial_window,
    padded_duplicates,
    dropped_data,
    uneven_ranks,
    global_batch_not_reached,
    repeated_data,
    over_the_cap,
    sparse_peak,
    optimistic_mfu,
    memory_too_small,
    warmup_beyond_the_run,
)
"""Rules that make `--strict` fail."""

NOTES: tuple[Rule, ...] = (
    not_counted,
    not_packed,
    devices_not_stated,
    per_device_not_stated,
    no_model,
    sequence_phases,
    budget_rounded,
    mixture_average,
    with_replacement,
    guessed_mfu,
    six_per_parameter,
    model_not_priced,
    tokens_per_parameter,
)
"""Rules that only inform."""


def _number(value: Fraction | None) -> str:
    if value is None:
        return "an unknown number of"
    return f"{int(value):,}" if value.denominator == 1 else f"{float(value):.4g}"
