"""How the numbers of a recipe are read: every spelling of `arithmetic.quantity`, with the units that fit."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from dist_epochs.arithmetic.duration import parse_hours
from dist_epochs.arithmetic.quantity import Quantity, Unit, parse, parse_count, parse_length, refuse_points_in_a_count
from dist_epochs.errors import InputError
from dist_epochs.settings.address import Address, is_address
from dist_epochs.settings.fields import Value
from dist_epochs.settings.files import refuse_name
from dist_epochs.settings.plain import FLAG, TEXT

__all__ = [
    "BATCH",
    "BYTES",
    "COUNT",
    "DEVICES",
    "DURATION",
    "FILE",
    "FLAG",
    "FLOPS",
    "HOURS",
    "LENGTH",
    "LIMIT",
    "MONEY",
    "NUMBER",
    "PART",
    "PER_DEVICE",
    "POSITIVE",
    "RATIO",
    "SAMPLES",
    "SHARE",
    "STEPS",
    "STORE",
    "TEXT",
    "count",
    "quantity",
    "read_bytes",
    "read_limit",
    "read_quantity",
]

WHAT = "the value"
KWH_IN = {"Wh": Fraction(1, 1000), "kWh": Fraction(1), "MWh": Fraction(1000)}
BYTES_IN = {"": 0, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5}
PERCENT = re.compile(r"\s*(per\s?cent|pct)\s*$", re.IGNORECASE)


def count(unit: Unit | None, least: int = 1, per: tuple[Unit, ...] = ()) -> Value:
    """A whole number of one unit, which may say what it is for: `8 samples per device`."""
    return Value(lambda data: parse_count(data, unit=unit, per=per, what=WHAT, least=least), least=least)


def quantity(*units: Unit) -> Value:
    """A number above zero that keeps its spelling and its tolerance."""
    return Value(lambda data: read_quantity(data, *units), least=0)


def read_quantity(data: Any, *units: Unit, per: tuple[Unit, ...] = ()) -> Quantity:
    """Read a number above zero in one of `units`, for one of `per`; a bare number gets the unit, where there is one.

    Raises:
        InputError: If it counts something else.
    """
    number = data if isinstance(data, Quantity) else parse(data, per=per, what=WHAT)
    if number.unit is not None and number.unit not in units:
        wanted = " or ".join(f"{unit}s" for unit in units) or "nothing"
        raise InputError(f"{number.text!r} counts {number.unit}s", rule=f"it must count {wanted}")
    if number.value <= 0:
        raise InputError(f"it must be above zero, not {number.text}")
    if number.unit is None and units and Unit.EPOCH not in units and not isinstance(data, Quantity):
        refuse_points_in_a_count(data, WHAT)
    if number.unit is None and len(units) == 1:
        return number.counted_in(units[0], per=number.per)
    return number


def _file(data: Any) -> str:
    name: str = TEXT.parse(data)
    refuse_name(name)
    return name


def _store(data: Any) -> str:
    name = _file(data)
    return Address(name) if is_address(name) else name


def read_bytes(text: object) -> int:
    """A size of files: 100GB, 1.5 TB, 512 MiB.

    Raises:
        InputError: If it has no unit, or is none.

    Examples:
        >>> read_bytes("100GB"), read_bytes("1.5 KiB")
        (100000000000, 1536)
    """
    match = re.fullmatch(r"(?P<number>.+?)\s*(?P<power>[kKMGTP]?)(?P<binary>i?)B", str(text).strip())
    if match is None:
        raise InputError(f"{text!r} is no size of files", rule="it is a number with its unit", fixes=("100GB", "1TB"))
    power = BYTES_IN[match["power"].replace("K", "k")]
    return int(_positive(match["number"]) * (1024 if match["binary"] else 1000) ** power)


def _bytes(data: Any) -> str:
    read_bytes(data)
    return str(data)


def _share(data: Any) -> Fraction:
    share = _plain(data)
    if not 0 < share <= 1:
        percent = f"{data}%" if 1 < share <= 100 and "%" not in str(data) else ()
        percent = "a point before decimals, as in 0.4" if str(data) == "0" else percent
        raise InputError(f"it must be above 0 and at most 1 (100%), not {data}", fixes=percent)
    return share


def _part(data: Any) -> Fraction:
    share = _share(data)
    if share == 1:
        raise InputError(f"it must be a part, not all of it, and it is {data}", fixes="a share below 100%")
    return share


def _plain(data: Any) -> Fraction:
    number = parse(PERCENT.sub("%", data) if isinstance(data, str) else data, what=WHAT)
    if number.unit is not None:
        raise InputError(f"{data!r} counts {number.unit}s", rule="it must be a plain number")
    return number.value


def _positive(data: Any) -> Fraction:
    number = _plain(data)
    if number <= 0:
        raise InputError(f"it must be above zero, not {data}")
    return number


def _batch(data: Any) -> Quantity:
    number = read_quantity(data, Unit.SAMPLE, Unit.TOKEN, Unit.POSITION, per=(Unit.STEP,))
    if number.is_product:
        raise InputError(
            f"{number.text!r} is a product", rule="the length is the phase's", fixes="the number of samples"
        )
    return number


def _duration(data: Any) -> str:
    parse_hours(data)
    return str(data)


def _flops(data: Any) -> Fraction:
    return _positive(re.sub(r"\s*flops?\s*$", "", str(data), flags=re.IGNORECASE))


def _money(data: Any) -> Fraction:
    return _money_of(re.sub(r"^[$€£¥]\s*|\s*(?:[$€£¥]|\b[A-Z]{3})$", "", str(data).strip()))


def _money_of(text: str) -> Fraction:
    """An amount; `10.000` may be ten of a currency, or ten thousand."""
    if text.endswith(".000"):
        refuse_points_in_a_count(text, WHAT)
    return _positive(text)


def read_limit(data: object) -> tuple[str, Fraction]:
    """A limit of a run: what it limits (`wall_hours`, `price` or `energy_kwh`), and how much.

    Raises:
        InputError: If it is no time, no money and no energy.
    """
    text = str(data).strip()
    if match := re.fullmatch(r"(?P<number>.+?)\s*(?P<unit>[kM]?Wh)", text):
        return "energy_kwh", _positive(match["number"]) * KWH_IN[match["unit"]]
    if match := re.fullmatch(r"[$€£¥]\s*(.+)|(.+?)\s*(?:[$€£¥]|[A-Z]{3})", text):
        return "price", _money_of(match[1] or match[2])
    try:
        return "wall_hours", parse_hours(text)
    except InputError as error:
        raise error.but(asked=f"{text!r} is no limit", fixes=("24 h", "$500", "30 kWh")) from None


def _limit(data: Any) -> str:
    read_limit(data)
    return str(data)


FILE = Value(_file, ("string",))
STORE = Value(_store, ("string",))
BYTES = Value(_bytes, ("string",))
STEPS = count(Unit.STEP)
SAMPLES = count(Unit.SAMPLE)
PER_DEVICE = count(Unit.SAMPLE, per=(Unit.DEVICE,))
DEVICES = count(Unit.DEVICE)
COUNT = count(None)
LENGTH = Value(lambda data: parse_length(data, what=WHAT), least=2)
SHARE = Value(_share, least=0)
PART = Value(_part, least=0)
RATIO = quantity()
NUMBER = Value(lambda data: float(_plain(data)), least=0)
POSITIVE = Value(_positive, least=0)
BATCH = Value(_batch, least=1)
HOURS = Value(lambda data: parse_hours(data, bare="hour"), least=0)
DURATION = Value(_duration, ("string",))
FLOPS = Value(_flops, least=0)
LIMIT = Value(_limit, ("string",))
MONEY = Value(_money, least=0)
