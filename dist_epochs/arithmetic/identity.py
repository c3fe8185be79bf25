"""The identity steps × batch = corpus × epochs, solved for whichever part is missing.

Source of the identity: every step draws one batch, and every epoch draws the corpus once, so both
products count the same draws. In tokens,

    steps × batch = tokens drawn = corpus × tokens per word × epochs
    batch         = global batch × sequence length
    global batch  = devices × samples per device × gradient accumulation

Four products, each with one number on the left. A product with a single unknown gives it; a product
with none is a check.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor, prod

from dist_epochs.arithmetic.agreement import Agreement, agreement
from dist_epochs.arithmetic.batch import BatchError, cannot_be_built, nearest_batches
from dist_epochs.arithmetic.given import (
    DRAWN,
    PARTS,
    Contradiction,
    Given,
    SolveError,
    counts_tokens,
    in_samples,
    in_whole_run,
    known_numbers,
    meant_exactly,
)
from dist_epochs.arithmetic.quantity import Quantity, Unit
from dist_epochs.arithmetic.text import precise
from dist_epochs.arithmetic.usual_ratios import USUAL_TOKENS_PER_WORD

__all__ = ["Given", "Solution", "SolveError", "solve"]

FACTORS = ("devices", "per_device", "gradient_accumulation")
"""Of the global batch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Solution:
    """The missing number, or how well the numbers agree.

    Attributes:
        unknown: Name of what was solved for; None when nothing was missing.
        value: It, with the interval that the spellings of the others leave.
        formula: The product it came from, with the numbers.
        agreement: With nothing missing: `exact`, `rounds`, `overlaps` or `contradicts`.
        ratio: With nothing missing: (steps × batch) ÷ (corpus × epochs); None where parts of the batch, or numbers that
            leave another unknown, contradict each other.
        derivation: One line per product used, and what was taken for granted.
        numbers: Every number known in the end, by name.
    """

    unknown: str | None
    value: Quantity | None
    formula: str
    agreement: Agreement | None
    ratio: Fraction | None
    derivation: tuple[str, ...]
    numbers: Mapping[str, Quantity]


@dataclass(frozen=True, slots=True)
class _Product:
    left: str
    right: tuple[str, ...]

    def names(self) -> tuple[str, ...]:
        return (self.left, *self.right)


def solve(given: Given) -> Solution:
    """Find the one unknown of the identity, or check numbers that are all known.

    Numbers that contradict each other are an answer, whatever else is unknown.

    Raises:
        SolveError: If nothing can be solved, or a ratio of tokens to words is missing.

    Examples:
        >>> from dist_epochs.arithmetic.quantity import parse
        >>> bert = Given(steps=parse("1M"), batch=parse("256x512"), corpus=parse("3.3B tokens"))
        >>> solve(bert).value.value
        Fraction(32768, 825)
    """
    try:
        return _solve(given)
    except Contradiction as found:
        stated = {name: getattr(given, name) for name in Given.__dataclass_fields__}
        return Solution(
            unknown=None, value=None, formula=found.asked, agreement=Agreement.CONTRADICTS, ratio=None, derivation=(),
            numbers={name: amount for name, amount in stated.items() if amount is not None},
        )  # fmt: skip


def _solve(given: Given) -> Solution:
    stated = given
    given, notes = in_samples(given)
    whole = {  # what is written for one step or one epoch
        name: in_whole_run(amount, name, steps=given.steps, epochs=given.epochs)
        for name in ("steps", *DRAWN)
        if (amount := getattr(given, name)) is not None and amount.per is not None
    }
    given = replace(given, **whole)
    in_tokens = counts_tokens(given)
    products = _products(given, in_tokens)
    known, lines = known_numbers(given, in_tokens)
    lines = [*notes, *(f"{name} = {amount.text}" for name, amount in whole.items()), *lines]
    derived, checked = _propagate(products, known, lines)
    unknown = _unknown(given, known, derived)
    if unknown is None:
        return _check(given, known, lines, checked)
    for contradiction in _contradictions(given, checked, known):
        raise Contradiction(contradiction)
    lines += _unused(given, products, derived, checked)
    if exact := meant_exactly(stated, unknown):
        return _solve(replace(stated, **exact))
    product, value = derived[unknown], known[unknown]
    for name in ("steps", *PARTS):
        if name == unknown or name in derived:
            lines += _whole(name, known[name], given, known)
    return Solution(
        unknown=unknown, value=value, formula=_formula(product, unknown, known), agreement=None,
        ratio=None, derivation=tuple(lines), numbers=known,
    )  # fmt: skip


def _products(given: Given, in_tokens: bool) -> tuple[_Product, ...]:
    words = given.tokens_per_word is not None or (given.corpus is not None and given.corpus.unit is Unit.WORD)
    drawn = "tokens" if in_tokens else "samples"
    return (
        _Product("global_batch", FACTORS),
        _Product("batch", ("global_batch", "sequence_length") if in_tokens else ("global_batch",)),
        _Product(drawn, ("steps", "batch")),
        _Product(drawn, ("corpus", "tokens_per_word", "epochs") if words and in_tokens else ("corpus", "epochs")),
    )  # fmt: skip


def _propagate(
    products: tuple[_Product, ...], known: dict[str, Quantity], lines: list[str]
) -> tuple[dict[str, _Product], list[_Product]]:
    """Solve every product that misses one number, until none does.

    Returns each solved name with its product, and the products that missed nothing.
    """
    derived: dict[str, _Product] = {}
    checked: list[_Product] = []
    pending = list(products)
    while ready := [p for p in pending if sum(name not in known for name in p.names()) <= 1]:
        product = ready[0]
        pending.remove(product)
        missing = next((name for name in product.names() if name not in known), None)
        if missing is None:
            if product.left in ("batch", "global_batch"):
                _same(product, known)
            checked.append(product)
        else:
            known[missing] = _value(product, missing, known)
            derived[missing] = product
            lines.append(_formula(product, missing, known))
    return derived, checked


def _value(product: _Product, missing: str, known: Mapping[str, Quantity]) -> Quantity:
    numbers = prod((known[name] for name in product.right if name != missing), start=Quantity.exact(1))
    return numbers if missing == product.left else known[product.left] / numbers


def _same(product: _Product, known: Mapping[str, Quantity]) -> None:
    right = _value(product, product.left, known)
    if right.value != known[product.left].value:
        given = f"{product.left.replace('_', ' ')} {precise(known[product.left].value)}"
        raise Contradiction(f"{given} is given, but {_formula(product, product.left, known, right)}")


MAIN = ("tokens_per_word", "steps", "epochs", "corpus")


def _unknown(given: Given, known: Mapping[str, Quantity], derived: Mapping[str, _Product]) -> str | None:
    """The number the user left open: steps, epochs or corpus, else the deepest part of the batch."""
    if given.corpus is not None and given.corpus.unit is Unit.WORD and "tokens_per_word" not in known:
        raise _words_are_no_tokens(given)
    for name in MAIN:
        if name in derived:
            return name
    for name in (*PARTS, "batch"):
        if name in derived and derived[name].left != name:
            return name
    if all(name in known for name in ("steps", "batch", "corpus", "epochs")):
        return None
    for name in DRAWN:
        if name in derived:
            return name
    have = ", ".join(f"{name.replace('_', ' ')} {precise(value.value)}" for name, value in known.items()) or "nothing"
    lacks = [name for name in FACTORS if name not in known]  # of a batch that is stated in parts
    factors = (
        f"{' and '.join('--' + name.replace('_', '-') for name in lacks)} too, for the batch: 1, where there is none"
    )
    raise SolveError(
        f"steps × batch = corpus × epochs cannot be solved from {have}",
        rule="all but one of the four must be known",
        fixes=(
            *([factors] if 0 < len(lacks) < len(FACTORS) and "batch" not in known else []),
            "three of --steps, --batch, --corpus and --epochs (or --tokens in place of two of them)",
        ),
    )


def _words_are_no_tokens(given: Given) -> SolveError:
    """The error for a corpus in words and a batch in tokens, with the answers at the usual ratios."""
    corpus = given.corpus
    assert corpus is not None
    answers = []
    for ratio, whose in USUAL_TOKENS_PER_WORD:
        try:
            answer = solve(replace(given, tokens_per_word=Quantity.exact(ratio)))
        except SolveError:
            continue
        if answer.value is not None:
            answers.append(f"at {float(ratio):g} ({whose}) {answer.unknown} = {precise(answer.value.value)}")
        elif answer.ratio is not None:
            answers.append(f"at {float(ratio):g} ({whose}) steps × batch is {precise(answer.ratio)} × corpus × epochs")
    return SolveError(
        f"the corpus is {corpus.text!r} and a batch is counted in tokens",
        rule=f"words do not turn into tokens without a ratio{': ' * bool(answers)}{'; '.join(answers)}",
        fixes=("--tokens-per-word with the one that holds", "`dist-epochs tokenize`, which measures it"),
    )


def _check(given: Given, known: dict[str, Quantity], lines: list[str], checked: list[_Product]) -> Solution:
    """Nothing is missing: do steps × batch and corpus × epochs agree?"""
    drawn = known["steps"] * known["batch"]
    ratio = known.get("tokens_per_word", Quantity.exact(1))
    derived = drawn / (known["corpus"] * ratio)
    divisors = ["corpus", *(["tokens_per_word"] if "tokens_per_word" in known else [])]
    words = " ÷ ".join(name.replace("_", " ") for name in divisors)
    numbers = " ÷ ".join(precise(known[name].value) for name in divisors)
    product = f"{precise(known['steps'].value)} × {precise(known['batch'].value)}"
    formula = (
        f"epochs = steps × batch ÷ {words} = {product} ÷ {numbers} "
        f"= {precise(derived.value)}, stated {known['epochs'].text}"
    )
    verdict = agreement(derived.number, known["epochs"].number)
    if given.tokens is not None or given.samples is not None:
        contradictions = list(_contradictions(given, checked, known))
        verdict = Agreement.CONTRADICTS if contradictions else verdict
        lines = [*lines, *contradictions]
    return Solution(
        unknown=None, value=None, formula=formula, agreement=verdict,
        ratio=derived.value / known["epochs"].value, derivation=tuple(lines), numbers=known,
    )  # fmt: skip


def _formula(product: _Product, missing: str, known: Mapping[str, Quantity], result: Quantity | None = None) -> str:
    """`epochs = tokens ÷ corpus = 131,072,000,000 ÷ 3,300,000,000 = 39.7188`."""
    value = (result or known[missing]).value
    if missing == product.left:
        names, sign, first = list(product.right), " × ", []
    else:
        names, sign, first = [name for name in product.right if name != missing], " ÷ ", [product.left]
    words = sign.join(name.replace("_", " ") for name in (*first, *names))
    numbers = sign.join(precise(known[name].value) for name in (*first, *names))
    middle = f"{words} = {numbers}" if sign in words else words
    return f"{missing.replace('_', ' ')} = {middle} = {precise(value)}"


def _whole(name: str, value: Quantity, given: Given, known: Mapping[str, Quantity]) -> Iterator[str]:
    """A count that came out broken: an error where the batch is a setting, else a remark."""
    if value.value.denominator == 1:
        return
    if given.global_batch is not None and name in ("devices", "per_device", "gradient_accumulation"):
        raise _broken_batch(name, int(given.global_batch.value), known)
    below = floor(value.value)
    yield (
        f"{name.replace('_', ' ')} {precise(value.value)} is not a whole number: "
        f"{below:,} falls short, {below + 1:,} goes beyond"
    )


def _broken_batch(name: str, samples: int, known: Mapping[str, Quantity]) -> BatchError:
    """Two factors of a stated global batch do not divide it."""
    factors = {part: int(known[part].value) for part in PARTS[:3] if part != name}
    if name == "gradient_accumulation":
        return cannot_be_built(samples, factors["devices"], factors["per_device"])
    product = prod(factors.values())
    said = " and ".join(f"{part.replace('_', ' ')} {size}" for part, size in factors.items())
    return BatchError(
        f"global batch {samples} cannot be built with {said}",
        rule=f"it must be a multiple of {product}",
        fixes=map(str, nearest_batches(samples, product)),
    )


def _unused(
    given: Given, products: tuple[_Product, ...], derived: Mapping[str, _Product], checked: list[_Product]
) -> Iterator[str]:
    """Numbers that were given and say nothing about the answer."""
    used = {name for product in (*derived.values(), *checked) for name in product.names()}
    for name in {name for product in products for name in product.names()} - used:
        if getattr(given, name, None) is not None:
            yield f"{name.replace('_', ' ')} is not used: too little else is known of the batch"


def _contradictions(given: Given, checked: list[_Product], known: Mapping[str, Quantity]) -> Iterator[str]:
    """Tokens (or samples) drawn that a product with nothing missing does not give."""
    for product in checked:
        if product.left in DRAWN:
            other = _value(product, product.left, known)
            if agreement(other.number, known[product.left].number) is Agreement.CONTRADICTS:
                said = precise(known[product.left].value)
                how = "drawn" if getattr(given, product.left) is None else "given"
                yield f"{product.left} {said} is {how}, but {_formula(product, product.left, known, other)}"
