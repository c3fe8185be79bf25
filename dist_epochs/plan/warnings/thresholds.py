"""Amounts of compute from which rules of law apply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dist_epochs.plan.cost.trained_part import not_known_of
from dist_epochs.rules import rule

if TYPE_CHECKING:
    from dist_epochs.plan.plan import Plan

__all__ = ["eu_compute_threshold"]

GENERAL_PURPOSE, SYSTEMIC_RISK = 10**23, 10**25
"""FLOP of training, all stages together."""


@rule
def eu_compute_threshold(plan: Plan) -> str | None:
    """The run takes more compute than a threshold of the European Union's AI Act.

    Above 10²³ FLOP of training a model that generates text, audio, images from text or video from text is, as an
    indication, a general-purpose AI model (Commission guidelines of July 2025 on the scope of the obligations of
    their providers): Article 53 of Regulation (EU) 2024/1689 then asks for technical documentation, a summary of the
    training data and a policy on copyright. Above 10²⁵ FLOP Article 51(2) presumes high-impact capabilities and with
    them systemic risk: the Commission is to be notified within two weeks (Article 52), and Article 55 asks for more.

    What counts is the compute of all training together: earlier stages of the same model, synthetic data made for it
    and continued training belong to it. This note adds up the compute of the planned run alone. Who
    trains the model of another further counts as the provider of the result if that takes at least a third of the
    compute of the original; this is an indication too.

    What to do: keep the plan and the ledger, from which compute, hours and data are documented, and ask a lawyer
    rather than this tool. A run that stays just below a threshold may cross it with the first repeated part.
    """
    flops = plan.cost.flops
    if flops is None or flops <= GENERAL_PURPOSE:
        return None
    amount = f"{float(flops):.3g} FLOP"
    if not_known_of(plan.recipe.model) is not None:
        amount += ", beside those of the model that is modified,"
    if flops > SYSTEMIC_RISK:
        return f"{amount} are more than 10²⁵, from which the EU AI Act presumes systemic risk (Article 51)"
    return f"{amount} are more than 10²³, from which the EU takes a model that generates for a general-purpose one"
