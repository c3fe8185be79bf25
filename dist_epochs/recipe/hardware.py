"""What the run is priced on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.text import rounded
from dist_epochs.errors import InputError
from dist_epochs.recipe.values import FLAG, HOURS, MONEY, POSITIVE, SHARE, TEXT, count
from dist_epochs.settings.fields import Many, Place, Problem, Value, key

__all__ = ["HardwareRecipe"]


LARGEST_TFLOPS = 100_000
"""Beyond what one device does, in TFLOP/s; more is FLOP/s."""


class MfuReader:
    """One share, or the two ends of a range."""

    def read(self, data: Any, place: Place, problems: list[Problem]) -> Any:
        """Read either; the result is an interval."""
        if isinstance(data, str) and (match := re.fullmatch(r"(.+?)\s*(?:-|–|,|\bto\b)\s*(.+)", data)):
            data = list(match.groups())
        if isinstance(data, list):
            ends = Many(SHARE, exactly=2).read(data, place, problems)
            known = sorted(end for end in ends or () if end is not None)
            return Interval.between(known[0], known[-1]) if known else None
        share = SHARE.read(data, place, problems)
        return None if share is None else Interval.exact(share)

    def schema(self) -> dict[str, Any]:
        """JSON schema of either form."""
        return {"anyOf": [SHARE.schema(), Many(SHARE, exactly=2).schema()]}


def _stage(data: Any) -> int:
    number = count(None, least=0).parse(data)
    if number > 3:
        raise InputError(f"ZeRO stages are 0, 1, 2 and 3 (FSDP full shard), not {data}")
    return int(number)


@dataclass(frozen=True, kw_only=True)
class HardwareRecipe:
    """What the run is priced on."""

    device: str | None = key(TEXT, None)
    """Name of the device, for its dense peak and memory: H100, A100-80GB, RTX 4090, …"""
    peak_tflops: Fraction | None = key(POSITIVE, None)
    """Dense peak of one device in TFLOP/s, where the table has another or none."""
    mfu: Interval | None = key(MfuReader(), None)
    """Model FLOPs utilization: share of the dense peak, or the two ends of a range. Default: a guess, 30 to 45 %."""
    tokens_per_second: Fraction | None = key(POSITIVE, None)
    """Instead of `mfu`: measured tokens (positions) a second, over all devices together."""
    price: Fraction | None = key(MONEY, None)
    """Price of one device for one hour, in any currency."""
    watts: Fraction | None = key(POSITIVE, None)
    """Power of one device in watts, where the table has another or none. Default: that of its board at its limit."""
    pue: Fraction | None = key(POSITIVE, None)
    """Power usage effectiveness: the energy of the whole data centre ÷ that of its devices. Default: 1, devices
    alone."""
    zero_stage: int = key(Value(_stage, least=0), 0)
    """What the data-parallel devices share: 0 nothing, 1 optimizer states, 2 gradients too, 3 weights too (FSDP)."""
    shard_size: int | None = key(count(None, least=2), None)
    """Devices that share one copy of the model, where there are several (hybrid sharding). Default: all of them."""
    activation_checkpointing: bool = key(FLAG, False)
    """Whether activations are computed again in the backward pass: much less memory, and a lower utilization."""
    restarts: int = key(count(None, least=0), 0)
    """Restarts expected in the run."""
    checkpoint_every: Fraction | None = key(HOURS, None)
    """Hours between checkpoints; a restart loses half of that on average."""
    restart_time: Fraction | None = key(HOURS, None)
    """Hours from a failure to the next step."""

    @property
    def is_fully_sharded(self) -> bool:
        """Whether devices share weights too, which the trainer does by FSDP2."""
        return self.zero_stage == 3

    def __post_init__(self) -> None:
        if self.shard_size is not None and not self.zero_stage:
            raise InputError(
                f"shard_size is {self.shard_size} and zero_stage 0, which shards nothing",
                fixes=("zero_stage: 3", "to leave shard_size out"),
            )
        if self.peak_tflops is not None and self.peak_tflops > LARGEST_TFLOPS:
            raise InputError(
                f"peak_tflops is {rounded(self.peak_tflops)}", rule="it is in TFLOP/s, as in 989 for an H100"
            )
        if self.pue is not None and self.pue < 1:
            raise InputError(f"pue is {rounded(self.pue)}", rule="a data centre takes at least what its devices take")
        if self.restarts and self.checkpoint_every is None:
            raise InputError("restarts lose half a checkpoint interval each", fixes="checkpoint_every, in hours")
        if not self.restarts and (self.checkpoint_every is not None or self.restart_time is not None):
            raise InputError(
                "checkpoint_every and restart_time are counted for each restart", fixes="stating restarts too"
            )
        if self.tokens_per_second is not None and self.mfu is not None:
            raise InputError(
                "tokens_per_second and mfu both say how fast it goes",
                fixes="one of them (--set hardware.mfu=null)",
            )
