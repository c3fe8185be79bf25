"""What is done to a file: one mutation, drawn from a seed."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.fuzz.wandb_bytes import wandb_bytes

LONG = 65_536
"""Length of a line that one token was repeated to."""


@dataclass(frozen=True)
class Raw:
    """A value as it is written, where JSON of it cannot be made otherwise."""

    raw: str


WRONG: tuple[Any, ...] = (
    None, True, False, "", "x", "one", [], {}, [1], {"a": 1}, [[[]]], 0, 1, -1, 2, -5, 0.5, 1.5, -0.25, 3.0, 1e18,
    1e300, 1e-300, 10**9, 10**15, 10**20, 10**40, 10**41, -(10**30), "5.6e+02", "8", "-1", " 7 ", "1_000", "1e400",
    "٣", "½", Raw("NaN"), Raw("Infinity"), Raw("-Infinity"), Raw("1e400"), Raw("-0.0"), Raw("9" * 5000),
    Raw("9" * 120), Raw("0." + "1" * 3000), "9" * 5000, "\0", "a\0b", "\ud800", "\x1b[2J", "\x9b2J", "\u202eabc",
    "\r", "a\nb", "../x", "/dev/zero", "." * 5000, Raw("[" * 60 + "]" * 60), Raw('{"a":' * 60 + "1" + "}" * 60),
    Raw("[" * 20_000 + "]" * 20_000),
)  # fmt: skip
"""Values to put where others stand."""

TOKENS = (
    "", "-1", "0", "0.5", "1e400", "9" * 5000, "9" * 50, "-", "+", "true", "null", "NaN", ".inf", "[]", "{}",
    "[1, 2]", "{a: 1}", '"8"', "'8'", "8 samples", "8x8", "2**70", "2**99999999", "1/0", "1/3", "90%", "1M", "~3",
    "3.5e3", "1e-9", "x", "&a [*a]", "*a", "!!int 3", "!x y", "<<: 1", "\0", "\x1b[2J", "\\e[2J", '"\\0"',
    '"\\ud800"', '"\\e[2J"', "\u202e", "[" * 60, "[" * 20_000, "{a: " * 60, "'", '"', "#", "|", "$((1/0))", "$(id)",
    "${x:-3}", "`x`", "0x10", "010", "1:30", "2020-01-01", "1_000", "١", "1e1000000000", "-0", "%", ":", "\t",
    "/dev/zero",
)  # fmt: skip
"""Text to put where a number or a word stands."""

INSERTED = (
    b"\0", b"\x1b[2J", b"\xff", b"\xed\xa0\x80", b"\r", b"\x08", b"\xef\xbb\xbf", b"\xe2\x80\xae", b"\x85",
)  # fmt: skip
"""Bytes to put anywhere."""

_NUMBER = re.compile(rb"\d[\d_,.]*(?:[eE][+-]?\d+)?")
_WORD = re.compile(rb"[A-Za-z_][\w-]*")


@dataclass(frozen=True)
class Mutation:
    """What was done, and the file after it; `data` is what a file of wandb was made of, where it is whole."""

    what: str
    content: bytes
    data: bytes | None = None


def mutate_twice(content: bytes, draw: Random) -> Mutation:
    """Two mutations of a file's text and bytes, the second where the first was made or anywhere else."""
    first, second = (draw.choice((_in_text, _in_bytes)) for _ in range(2))
    done = first(content, draw)
    again = second(done.content, draw)
    return Mutation(f"{done.what}; {again.what}", again.content)


def mutate(content: bytes, draw: Random, form: str) -> Mutation:
    """One mutation of a file.

    Args:
        content: The file.
        draw: The source of chance.
        form: `json`, `lines` (of JSON), `wandb` (of which `content` is JSON), or anything else for text and bytes.
    """
    chance = draw.random()
    if form == "wandb" and chance < 0.8:
        what, data = _in_json(content, draw)
        whole = data if isinstance(data, dict) else {}
        return Mutation(what, wandb_bytes(whole), _dumped(whole, spelled=False))
    if form == "wandb":
        return _in_bytes(wandb_bytes(json.loads(content)), draw)
    if form == "json" and chance < 0.7:
        what, data = _in_json(content, draw)
        return Mutation(what, _dumped(data))
    if form == "lines" and chance < 0.6:
        lines = content.split(b"\n")
        at = draw.randrange(len(lines) - 1)
        what, data = _in_json(lines[at], draw)
        lines[at] = _dumped(data)
        return Mutation(f"line {at + 1}: {what}", b"\n".join(lines))
    if form == "bytes" or chance < 0.85 - 0.2 * (form not in ("json", "lines")):
        return _in_bytes(content, draw)
    return _in_text(content, draw)


def _in_json(content: bytes, draw: Random) -> tuple[str, Any]:
    """What was done, and the data."""
    data = json.loads(content)
    places = list(_places(data, ()))
    place = draw.choice(places)
    above = data
    for part in place[:-1]:
        above = above[part]
    if not place:
        value = _wrong(draw, data)
        return f"all is {_short(value)}", value
    last, old = place[-1], above[place[-1]]
    name = ".".join(map(str, place))
    kind = draw.randrange(10)
    if kind == 0:
        del above[last]
        return f"without {name}", data
    if kind == 1 and isinstance(above, dict):
        above.pop(last)
        above[draw.choice((f"{last}x", "", "\x1b[2J", str(last)[:-1], str(last).upper()))] = old
        return f"{name} renamed", data
    if kind == 2:
        other = draw.choice(places[1:])
        found = data
        for part in other:
            found = found[part]
        above[last] = copy.deepcopy(found)
        return f"{name} is a copy of {'.'.join(map(str, other))}", data
    if kind == 3 and isinstance(above, list):
        above.insert(last, copy.deepcopy(old))
        return f"{name} twice", data
    above[last] = value = _wrong(draw, old)
    return f"{name}: {_short(value)} for {_short(old)}", data


def _wrong(draw: Random, old: Any) -> Any:
    """Another value, often near the old one."""
    if draw.random() < 0.3 and isinstance(old, int | float) and not isinstance(old, bool):
        return draw.choice((old + 1, old - 1, -old, old * 2, old / 2, str(old), float(old), [old], old * 10**6))
    if draw.random() < 0.3 and isinstance(old, str):
        return draw.choice((old + "\x1b", old[:-1], old * 2, old.upper(), [old], old + "\0", old + "\ud800"))
    return draw.choice(WRONG)


def _places(data: Any, place: tuple[Any, ...]) -> Any:
    yield place
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in inner:
        yield from _places(value, (*place, key))


def _dumped(data: Any, *, spelled: bool = True) -> bytes:
    """JSON, compact as a ledger's lines are, with raw parts put in as they are spelled, or as `null`."""
    raws: list[str] = []

    def put(value: Any) -> str | None:
        if not spelled:
            return None
        raws.append(value.raw)
        return f"@@{len(raws) - 1}@@"

    text = json.dumps(data, separators=(",", ":"), default=put)
    for at, raw in enumerate(raws):
        text = text.replace(f'"@@{at}@@"', raw)
    return text.encode()


def _short(value: Any) -> str:
    return ascii(value)[:60]


LONGEST_COUNTED = 1000
"""Digits of a number that is counted up; Python refuses to read more than 4,300 as an integer."""


def _in_text(content: bytes, draw: Random) -> Mutation:
    """A number or a word replaced."""
    found = list(draw.choice((_NUMBER, _NUMBER, _WORD)).finditer(content))
    if not found:
        return _in_bytes(content, draw)
    match = draw.choice(found)
    token = draw.choice(TOKENS).encode(errors="surrogatepass")
    if draw.random() < 0.2 and match[0].isdigit() and len(match[0]) < LONGEST_COUNTED:
        token = str(draw.choice((int(match[0]) + 1, int(match[0]) * 2, -int(match[0])))).encode()
    what = f"{ascii(token)[:60]} for {ascii(match[0])[:60]} at {match.start()}"
    return Mutation(what, content[: match.start()] + token + content[match.end() :])


def _in_bytes(content: bytes, draw: Random) -> Mutation:
    """Bits, bytes and lines."""
    at = draw.randrange(len(content) + 1)
    kind = draw.randrange(9)
    lines = content.split(b"\n")
    one, two = draw.randrange(len(lines)), draw.randrange(len(lines))
    if kind == 0 and at < len(content):
        flipped = bytes([content[at] ^ 1 << draw.randrange(8)])
        return Mutation(f"a bit of byte {at}", content[:at] + flipped + content[at + 1 :])
    if kind == 1:
        return Mutation(f"cut at {at}", content[:at])
    if kind == 2:
        inserted = draw.choice(INSERTED)
        return Mutation(f"{inserted!r} at {at}", content[:at] + inserted + content[at:])
    if kind == 3:
        lines.insert(two, lines[one])
        return Mutation(f"line {one + 1} again at {two + 1}", b"\n".join(lines))
    if kind == 4:
        lines[one], lines[two] = lines[two], lines[one]
        return Mutation(f"lines {one + 1} and {two + 1} swapped", b"\n".join(lines))
    if kind == 5:
        del lines[one]
        return Mutation(f"without line {one + 1}", b"\n".join(lines))
    if kind == 6:
        size = draw.choice((1, 3, 8, 20))
        token = lines[one][: at % (len(lines[one]) + 1)][-size:] or b"."
        lines[one] += token * (LONG // len(token))
        return Mutation(f"{token!r} repeated behind line {one + 1}", b"\n".join(lines))
    if kind == 7:
        end = min(len(content), at + draw.randrange(1, 60))
        return Mutation(f"without bytes {at} to {end}", content[:at] + content[end:])
    part = bytes(draw.randrange(256) for _ in range(draw.randrange(1, 12)))
    return Mutation(f"{part!r} at {at}", content[:at] + part + content[at + len(part) :])
