"""How the numbers of a budget follow from each other: the identities that a text is checked against."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["NAMES", "RELATIONS", "TITLES", "Relation", "relation_of"]

NAMES: Mapping[str, str] = {
    "global_batch": "batch",
    "seconds_per_step": "step_seconds",
    "sequence_length": "length",
    "batch_tokens": "tokens_per_batch",
    "gradient_accumulation": "accumulation",
}
"""What roles are called in formulas, where it is not their name."""

TITLES: Mapping[str, str] = {
    "global_batch": "global batch",
    "batch_tokens": "tokens a batch",
    "device_hours": "device hours",
    "steps_per_epoch": "steps per epoch",
    "tokens_per_day": "tokens per day",
    "flops": "FLOPs",
    "batch_per_rank": "batch of a rank",
    "tokens_per_second": "tokens per second",
    "mfu": "utilization",
}
"""What results are called."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A result and a formula for it.

    Attributes:
        identity: Which identity it belongs to: of those that tell the same, one is checked.
        result: The role of the result.
        formula: The formula, in names of roles.
        corpus: What the corpus in it counts: `samples`, `tokens`, or nothing.
        without: A role that must not be stated: the formula takes it as one.
        only_about: Whether it is used only where the result is said to be about.
    """

    identity: str
    result: str
    formula: str
    corpus: str = ""
    without: str = ""
    only_about: bool = False

    @property
    def needs(self) -> frozenset[str]:
        """The roles in its formula."""
        import re

        return frozenset(re.findall(r"[a-z_]{3,}", self.formula)) - {"ceil", "floor"}


RELATIONS: tuple[Relation, ...] = (
    Relation("batch", "global_batch", "per_device * data_parallel * gradient_accumulation"),
    Relation("batch", "global_batch", "per_device * data_parallel", without="gradient_accumulation"),
    Relation("batch", "global_batch", "per_device * devices * gradient_accumulation"),
    Relation("batch", "global_batch", "per_device * devices", without="gradient_accumulation"),
    Relation("batch", "global_batch", "per_device * gradient_accumulation", without="devices"),
    Relation("rank", "batch_per_rank", "per_device * gradient_accumulation"),
    Relation("nodes", "devices", "nodes * devices_per_node"),
    Relation("batch tokens", "batch_tokens", "global_batch * sequence_length"),
    Relation("tokens of devices", "batch_tokens", "tokens_per_device * devices * gradient_accumulation"),
    Relation("tokens of devices", "batch_tokens", "tokens_per_device * devices", without="gradient_accumulation"),
    Relation("samples", "steps", "samples / global_batch", only_about=True),
    Relation("samples", "samples", "steps * global_batch"),
    Relation("samples", "samples", "epochs * steps_per_epoch * global_batch"),
    Relation("drawn", "steps", "tokens / batch_tokens", only_about=True),
    Relation("drawn", "steps", "tokens / (global_batch * sequence_length)", only_about=True),
    Relation("drawn", "tokens", "steps * global_batch * sequence_length"),
    Relation("drawn", "tokens", "steps * batch_tokens"),
    Relation("drawn", "tokens", "samples * sequence_length"),
    Relation("drawn", "tokens", "steps * global_batch", without="sequence_length"),
    Relation("epochs", "steps", "ceil(epochs * corpus / global_batch)", corpus="samples"),
    Relation("epochs", "epochs", "steps * global_batch / corpus", corpus="samples"),
    Relation("epochs", "epochs", "samples / corpus", corpus="samples"),
    Relation("epochs", "epochs", "steps * global_batch * sequence_length / corpus", corpus="tokens"),
    Relation("epochs", "epochs", "steps * batch_tokens / corpus", corpus="tokens"),
    Relation("epochs", "epochs", "tokens / corpus", corpus="tokens"),
    Relation("passes", "steps_per_epoch", "ceil(corpus / global_batch)", corpus="samples"),
    Relation("passes", "steps_per_epoch", "ceil(corpus / batch_tokens)", corpus="tokens"),
    Relation("passes", "steps_per_epoch", "ceil(corpus / (global_batch * sequence_length))", corpus="tokens"),
    Relation("rounds", "steps", "epochs * steps_per_epoch"),
    Relation("pace", "hours", "steps * seconds_per_step / 3600"),
    Relation("pace", "hours", "steps / steps_per_second / 3600"),
    Relation("device time", "device_hours", "devices * hours"),
    Relation("node time", "node_hours", "nodes * hours"),
    Relation("price", "device_hours", "tokens * device_hours_per_trillion / 1000000000000"),
    Relation("rate", "device_hours", "tokens / tokens_per_second_per_device / 3600"),
    Relation("rate", "tokens", "tokens_per_second_per_device * devices * hours * 3600"),
    Relation("rate", "tokens", "tokens_per_second * hours * 3600"),
    Relation("rates", "tokens_per_second", "tokens_per_second_per_device * devices"),
    Relation("day", "tokens_per_day", "tokens_per_second_per_device * devices * 86400"),
    Relation("day", "tokens_per_day", "tokens_per_second * 86400"),
    Relation("flops", "flops", "6 * parameters * tokens"),
    Relation("speed", "flops", "devices * peak_flops_per_second * mfu * hours * 3600"),
    Relation("speed", "flops", "devices * achieved_flops_per_second * hours * 3600"),
    Relation("speed", "flops", "device_hours * peak_flops_per_second * mfu * 3600"),
    Relation("speed", "flops", "device_hours * achieved_flops_per_second * 3600"),
    Relation("utilization", "mfu", "achieved_flops_per_second / peak_flops_per_second"),
    Relation("work", "hours", "6 * parameters * tokens / (devices * achieved_flops_per_second * 3600)"),
    Relation("work", "hours", "6 * parameters * tokens / (devices * peak_flops_per_second * mfu * 3600)"),
    Relation("work", "device_hours", "6 * parameters * tokens / (achieved_flops_per_second * 3600)"),
    Relation("work", "device_hours", "6 * parameters * tokens / (peak_flops_per_second * mfu * 3600)"),
)
"""Of each identity the first is taken whose numbers are stated."""


def relation_of(
    identity: str, stated: Collection[str], inputs: Collection[str], about: Collection[str], corpus: str
) -> Sequence[Relation]:
    """The relations of an identity that a run's facts allow, the first to be checked first.

    Args:
        identity: The identity.
        stated: Roles that are stated.
        inputs: Those of them that formulas may use.
        about: Those of them that are rough.
        corpus: What the corpus counts: `samples`, `tokens`, `words`, or nothing.
    """
    counted = {"tokens": ("tokens", "words"), "samples": ("samples",), "": (corpus,)}
    return [
        relation
        for relation in RELATIONS
        if relation.identity == identity
        and relation.result in stated
        and relation.needs <= frozenset(inputs)
        and corpus in counted[relation.corpus]
        and relation.without not in stated
        and (relation.result in about or not relation.only_about)
        and not (relation.result == "steps" and relation.identity == "epochs" and "epochs" in about)
    ]
