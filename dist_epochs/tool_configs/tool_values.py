"""Values that are a tool's own where a file is silent, and values that follow from several keys."""

from __future__ import annotations

from typing import Any

from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.stated import LaunchSettings, Precision

__all__ = ["assumed", "by_default", "once", "precision_of", "product"]


def by_default(top: Section, key: str, value: Any, tool: str) -> Stated[Any] | None:
    """A tool's own value of a key that is not there, which a note tells; None where it has none."""
    if value is None:
        return None
    shown = ("on" if value else "off") if isinstance(value, bool) else f"{value:,}" if isinstance(value, int) else value
    top.note(key, f"not stated: {shown}, as {tool} takes it")
    return assumed(tool, value)


def assumed(tool: str, value: Any) -> Stated[Any]:
    """What a tool takes where nothing is stated."""
    return Stated(value, Origin(f"{tool}, by default"))


def precision_of(fp16: Stated[bool] | None, bf16: Stated[bool] | None, rule: str) -> Stated[Precision] | None:
    """The precision that two flags state: fp32 if neither is true, None if neither is stated.

    Raises:
        InputError: If both are true, with the tool's rule about that.
    """
    flags: dict[Precision, Stated[bool] | None] = {"fp16": fp16, "bf16": bf16}
    on = [Stated(name, flag.where) for name, flag in flags.items() if flag is not None and flag.value]
    if len(on) == 2:
        asked = f"{on[0].where} and {on[1].where} are both true"
        raise InputError(asked, rule=rule, fixes="setting one of them to false")
    off = fp16 or bf16
    return on[0] if on else None if off is None else Stated("fp32", off.where)


def once(own: LaunchSettings, tool: str) -> Stated[int] | None:
    """The accumulation, which a tool takes as 1 where the batch of a step is not stated either."""
    return own.gradient_accumulation or (None if own.global_batch else assumed(tool, 1))


def product(top: Section, each: str, machines: str) -> Stated[int] | None:
    """Devices of a machine × machines, which are 1 where they are not stated; None where the launch decides.

    Raises:
        InputError: If one is no number.
    """
    word = top.text(each)
    if word is None or word.value in ("auto", "-1"):
        return None
    devices, several = top.count(each), top.count(machines)
    assert devices is not None
    if several is None or several.value == 1:
        return devices
    top.note(each, f"of each machine: {devices.value} × {several.value} of {machines}")
    return Stated(devices.value * several.value, devices.where)
