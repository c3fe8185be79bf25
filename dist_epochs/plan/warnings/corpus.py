"""What is known of the corpus, and how often it is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from dist_epochs.arithmetic.packings import packing_flag
from dist_epochs.arithmetic.repeats import MILD_EPOCHS, unique_equivalents, worth_per_token
from dist_epochs.arithmetic.text import rounded
from dist_epochs.plan.history import BEFORE
from dist_epochs.rules import rule

if TYPE_CHECKING:
    from dist_epochs.plan.plan import Plan
    from dist_epochs.plan.sources import SourcePlan

__all__ = [
    "corpus_not_stated",
    "mixture_average",
    "no_model",
    "not_counted",
    "not_packed",
    "over_the_cap",
    "repeated_data",
    "temperature_rounded",
    "weights_beyond_one",
    "with_replacement",
    "words_as_tokens",
]


@rule
def words_as_tokens(plan: Plan) -> str | None:
    """A corpus in words is divided into batches in tokens, one word counting as one token.

    Papers do this: BERT's appendix divides 1,000,000 batches of 256 × 512 positions by 3.3 billion words and calls
    the result about 40 epochs. A subword tokenizer makes more than one token of a word (1.24 on WikiText-2 with
    BERT's own vocabulary, 1.3 to 1.5 for GPT-2's on web text), so the epochs are that much fewer.

    What to do: measure the ratio on your text with `dist-epochs tokenize SOURCE --tokenizer T --count-only`, and
    state it as `corpus.tokens_per_word` or `--tokens-per-word`.
    """
    corpus = plan.recipe.corpus
    ratios = [corpus.tokens_per_word, *(source.tokens_per_word for source in (corpus.sources or {}).values())]
    if plan.facts is not None or not any(ratio is not None and ratio.value == 1 for ratio in ratios):
        return None
    epochs = plan.epochs["positions"]
    asked = corpus.sources or any(amount and amount[0] == "epochs" for amount in plan.amounts)
    usual = f"; at 1.25 tokens a word they are {rounded(epochs / Fraction(5, 4))}" if epochs and not asked else ""
    return f"a word counts as one token, as papers do: {rounded(epochs)} epochs{usual}"


@rule
def repeated_data(plan: Plan) -> str | None:
    """The corpus, or a source of it, is repeated so often that more of the same teaches little.

    By the data-constrained scaling law (Muennighoff et al. 2023, arXiv:2305.16264) up to about 4 epochs are nearly
    as good as fresh data, 16 are equivalent to 10.6 unique epochs, 40 to 15.2, and no number to more than 16.4.
    The law was fitted on causal language models; masked models draw new masks each pass and stand more (BERT ran
    about 10 real epochs). It cannot predict the harm that over-repetition may do.

    What to do: more data, fewer steps, a cap with `corpus.max_epochs`, or weights that draw small sources less.
    """
    by_source = {f"source {source.name}": source.epochs for source in plan.sources} if len(plan.sources) > 1 else {}
    whole = plan.epochs["samples"]
    found = by_source or ({"the corpus": whole} if whole is not None else {})
    strong = {name: epochs for name, epochs in found.items() if plan.goes_beyond(epochs, Fraction(MILD_EPOCHS))}
    if not strong:
        return None
    told = ", ".join(
        f"{name} {rounded(epochs)} times ({unique_equivalents(epochs):.4g} equivalent unique epochs, "
        f"{worth_per_token(epochs):.0%} of new data)"
        for name, epochs in strong.items()
    )
    return f"{told}, by a law fitted on causal language models"


@rule
def over_the_cap(plan: Plan) -> str | None:
    """A source of the mixture is drawn more often than `corpus.max_epochs` allows.

    One average hides this: 300B tokens over 239B are 1.26 epochs, while the smallest source may be drawn 7.5 times.
    The message gives the share at which the source just fits; `fitting_share` in the JSON has the shares of all
    sources, with the freed part spread over the others in their proportions.

    What to do: write these shares as weights, draw less in all, or raise the cap.
    """
    cap = plan.recipe.corpus.max_epochs
    over = [source for source in plan.sources if cap is not None and plan.goes_beyond(source.epochs, cap)]
    if cap is None:
        return None
    whole = plan.epochs["samples"]
    if not over:
        if len(plan.sources) < 2 and whole is not None and plan.goes_beyond(whole, cap):
            return f"the corpus is drawn {rounded(whole)} times, and the cap is {rounded(cap)}"
        return None
    told = ", ".join(
        f"{source.name} {rounded(source.epochs)} times at {float(source.share):.4g}"
        + (f" (at most {float(source.fitting_share):.4f} fits)" if source.fitting_share is not None else "")
        for source in over
    )
    nothing = "" if over[0].fitting_share is not None else "; no weights fit, the sources are too small together"
    return f"the cap is {rounded(cap)} epochs a source: {told}{nothing}"


@rule
def not_counted(plan: Plan) -> str | None:
    """The corpus is stated, not counted: samples and tokens are estimates without padding.

    Knowing the size of an epoch means tokenizing and packing. Before that, every position of a batch is taken for a
    token of the corpus, so padding is not taken off: real epochs are as much fewer as there is padding.

    What to do: `dist-epochs tokenize SOURCE --tokenizer T --out STORE --sequence-length …`, then plan on the store;
    every integer is then exact, and the ledger of the run will show the same ones.
    """
    store = plan.recipe.corpus.store
    if plan.facts is not None or not (plan.counts_tokens or store is not None):
        return None
    there = f"there is no store at {store} (paths are relative to the recipe): " if store else ""
    count = f"`dist-epochs tokenize SOURCE --tokenizer T --out {store or 'STORE'} --sequence-length …`"
    return (
        f"{there}padding is not included, since samples and tokens of a pass are not known before the corpus is "
        f"counted: run {count} and plan on that"
    )


@rule
def not_packed(plan: Plan) -> str | None:
    """The store has no samples of a length that the recipe uses.

    Tokens are counted once, but samples belong to a length: documents are packed into samples of 128 and of 512
    separately.

    What to do: `dist-epochs tokenize STORE --sequence-length LENGTH`.
    """
    if plan.facts is None:
        return None
    missing = plan.facts.not_packed(plan.lengths)
    if not missing:
        return None
    lengths, packing = ",".join(map(str, missing)), plan.recipe.corpus.packing
    flag = packing_flag(packing)
    return (
        f"{plan.facts.store} is not packed at length {lengths}{flag and f' by {packing}'}, so its samples and tokens "
        f"are not known: run `dist-epochs tokenize {plan.facts.store} --sequence-length {lengths}{flag}`"
    )


@rule
def no_model(plan: Plan) -> str | None:
    """Tokens and loss tokens are not counted, since what the loss counts is not stated.

    A masked model learns from a fixed count of masked tokens in each sample, a causal one from every next token.

    What to do: `model.objective` and `model.config`.
    """
    model = plan.recipe.model
    if (model is not None and model.objective is not None) or plan.facts is None or plan.loop is not None:
        return None
    return "tokens and loss tokens are not counted: model.objective decides what the loss counts"


@rule
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
        f"{rounded(average)} epochs on average, from {rounded(least.epochs)} of {least.name} to {rounded(most.epochs)} "
        f"of {most.name}"
    )


@rule
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
        f"{rounded(plan.epochs['samples'])} epochs of draws see {float(plan.coverage):.2%} of the samples at least once"
    )


@rule
def temperature_rounded(plan: Plan) -> str | None:
    """Shares by temperature are powers of sizes, stated to four decimals.

    A mixture is drawn in a pattern of whole numbers, and a power is no whole number. The shares in the table of
    sources are exact: they are what is drawn.

    What to do: nothing, or write the shares as weights.
    """
    temperature = plan.recipe.corpus.temperature
    if (
        temperature is None
        or not (sources := _mixed_by_temperature(plan))
        or all(source.share == _by_size(plan, source) for source in sources)
    ):
        return None
    shares = ", ".join(f"{source.name} {float(source.share):.4f}" for source in sources)
    return f"temperature {rounded(temperature)} draws {shares}, rounded to four decimals"


def _mixed_by_temperature(plan: Plan) -> Sequence[SourcePlan]:
    """The sources with their shares, of a phase without sources of its own, if there is one."""
    if not plan.phase_sources:
        return plan.sources
    own = [stretch == BEFORE or plan.recipe.phases[stretch].sources is not None for stretch in plan.stretches]
    return next((sources for sources, has in zip(plan.phase_sources, own, strict=True) if not has), ())


def _by_size(plan: Plan, source: SourcePlan) -> Fraction:
    return source.size / sum((other.size for other in plan.sources), Fraction(0))


@rule
def weights_beyond_one(plan: Plan) -> str | None:
    """The weights look like shares and do not add up to one.

    Weights may be in any proportion (3 to 1), but 60 % and 60 % are more likely a slip than a proportion. They are
    taken in proportion, as the table of sources shows.

    What to do: correct the weights, or write them as whole numbers.
    """
    sources = plan.recipe.corpus.sources or {}
    stated = [source.weight for source in sources.values() if source.weight is not None]
    common = stated or list((plan.recipe.corpus.weights or {}).values())
    of_phases = {f" of phases.{at}": (phase.sources or {}).values() for at, phase in enumerate(plan.recipe.phases)}
    told = []
    for where, weights in {"": common, **of_phases}.items():
        total = sum(weights, Fraction(0))
        if len(weights) < 2 or max(weights) > 1 or min(weights) == 1 or abs(total - 1) <= Fraction(1, 100):
            continue
        told.append(f"the weights{where} add up to {rounded(total)}, and are taken in proportion")
    return "; ".join(told) or None


@rule
def corpus_not_stated(plan: Plan) -> str | None:
    """Epochs are not known, since no corpus is stated.

    Steps, samples and positions follow from the amount and the batch alone; how often the data is drawn does not.

    What to do: `--corpus "3.3B tokens"`, or a token store.
    """
    if plan.corpus_size is not None or plan.recipe.corpus.store is not None:
        return None
    return "epochs are not known: --corpus is not given"
