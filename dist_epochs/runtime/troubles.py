"""What went wrong on the ranks of a launch, told once: an error, and the ranks and hosts that have it."""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby

from dist_epochs.errors import InputError, Origin, as_input_error

__all__ = [
    "Place",
    "RankFailed",
    "error_from_text",
    "error_to_text",
    "hosts_of",
    "is_wrong_input",
    "missing_error",
    "places",
    "ranks_in_words",
    "told_once",
    "twice_error",
]

MOST_HOSTS = 8
"""Hosts that are named one by one; of more, the rest is counted."""

INPUT, OTHER = "!", "-"
"""How the text of an error begins: of the user's input, or any other."""


class RankFailed(RuntimeError):
    """Something failed on a rank before training, which is no error of the input; the message has its traceback."""


@dataclass(frozen=True, order=True, slots=True)
class Place:
    """A process of a launch.

    Attributes:
        rank: Its rank.
        host: The machine it runs on.
    """

    rank: int
    host: str


def error_to_text(error: Exception) -> str:
    """An error as a text that can be sent to other ranks."""
    if found := as_input_error(error):
        parts = [{**each.parts, "origin": asdict(each.origin) if each.origin else None} for each in found.errors]
        return INPUT + json.dumps(parts)
    text = str(error) if isinstance(error, RankFailed) else "".join(traceback.format_exception(error)).rstrip()
    return OTHER + text


def is_wrong_input(text: str) -> bool:
    """Whether a text is that of an `InputError`."""
    return text.startswith(INPUT)


def error_from_text(text: str) -> InputError | RankFailed:
    """The error that another rank sent."""
    if text.startswith(OTHER):
        return RankFailed(text[1:])
    parts = json.loads(text[1:])
    return InputError.together(
        InputError(**{**part, "origin": Origin(**part["origin"]) if part["origin"] else None}) for part in parts
    )


def told_once(errors: Sequence[tuple[Place, str]], size: int) -> InputError | RankFailed:
    """The errors of some or all ranks as one error, which names ranks and hosts where it is not all of them.

    Args:
        errors: Ranks, each with the text of its error; at least one.
        size: Ranks in all.
    """
    by_text: dict[str, list[Place]] = {}
    for place, text in errors:
        by_text.setdefault(text, []).append(place)
    wrong = {text: who for text, who in by_text.items() if text.startswith(INPUT)}
    if not wrong:
        text, who = next(iter(by_text.items()))
        more = f"\n({len(by_text) - 1} more errors of other ranks are not shown)" if len(by_text) > 1 else ""
        return RankFailed(f"on {places(who)} of {size} before training:\n{text[1:]}{more}")
    located = []
    for text, who in wrong.items():
        error = error_from_text(text)
        assert isinstance(error, InputError)
        where = "" if len(who) == size else f"on {places(who)}; the launch has {size} ranks"
        located += [each.but(rule="\n".join(part for part in (each.rule, where) if part)) for each in error.errors]
    return InputError.together(located)


def places(who: Iterable[Place]) -> str:
    """Ranks by the hosts they run on, in words.

    Examples:
        >>> places([Place(8, "b"), Place(9, "b"), Place(11, "b"), Place(16, "c")])
        'ranks 8-9, 11 (b), rank 16 (c)'
    """
    hosts: dict[str, list[int]] = {}
    for place in sorted(who):
        hosts.setdefault(place.host, []).append(place.rank)
    shown = [f"{ranks_in_words(ranks)} ({host})" for host, ranks in list(hosts.items())[:MOST_HOSTS]]
    if rest := list(hosts.values())[MOST_HOSTS:]:
        shown.append(f"and {sum(map(len, rest)):,} ranks on {len(rest):,} more hosts")
    return ", ".join(shown)


def ranks_in_words(ranks: Sequence[int]) -> str:
    """Ranks, in order, with stretches as their ends.

    Examples:
        >>> ranks_in_words([3]), ranks_in_words([0, 1, 2, 5])
        ('rank 3', 'ranks 0-2, 5')
    """
    stretches = [list(group) for _, group in groupby(enumerate(ranks), key=lambda pair: pair[1] - pair[0])]
    ends = [(group[0][1], group[-1][1]) for group in stretches]
    text = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ends)
    return f"rank {text}" if len(ranks) == 1 else f"ranks {text}"


def missing_error(came: Sequence[Place], size: int, seconds: float, environment: Mapping[str, str]) -> InputError:
    """The error for ranks that did not come.

    Args:
        came: Those that did.
        size: Ranks in all.
        seconds: How long rank 0 waited.
        environment: The process environment, in which Slurm names the hosts of the job.
    """
    missing = sorted(set(range(size)) - {place.rank for place in came})
    hosts = sorted(set(hosts_of(environment.get("SLURM_JOB_NODELIST", ""))) - {place.host for place in came})
    absent = f", and nothing came from {', '.join(hosts[:MOST_HOSTS])}" if hosts else ""
    if len(hosts) > MOST_HOSTS:
        absent += f" and {len(hosts) - MOST_HOSTS} more hosts"
    return InputError(
        f"{ranks_in_words(missing)} of {size} did not come in {seconds:g} s{absent}",
        rule=f"those that came: {places(came)}",
        consequence="no rank has begun, and nothing was written",
        fixes=(
            "the messages of those that are missing (a machine that is down, a Python without this package)",
            "a launch with the machines that came",
        ),
    )


def twice_error(came: Sequence[Place], size: int) -> InputError | None:
    """The error for ranks that several processes say they are, if there are any."""
    by_rank: dict[int, list[Place]] = {}
    for place in came:
        by_rank.setdefault(place.rank, []).append(place)
    if all(len(who) == 1 for who in by_rank.values()):
        return None
    rank, who = next((rank, who) for rank, who in sorted(by_rank.items()) if len(who) > 1)
    return InputError(
        f"{len(who)} processes say that they are rank {rank} of {size}",
        rule=f"they run on {', '.join(sorted({place.host for place in who}))}",
        consequence="no rank has begun, and nothing was written",
        fixes=("a number of its own for each machine (--machine_rank, --node-rank)", "another port for each launch"),
    )


def hosts_of(nodelist: str) -> list[str]:
    """The hosts of a list as Slurm writes it.

    Examples:
        >>> hosts_of("gpu[07-09,12],login"), hosts_of("")
        (['gpu07', 'gpu08', 'gpu09', 'gpu12', 'login'], [])
    """
    hosts = []
    for prefix, numbers in re.findall(r"([^,\[\]]+)(?:\[([\d,-]+)\])?", nodelist):
        for stretch in numbers.split(",") if numbers else [""]:
            first, _, last = stretch.partition("-")
            ends = range(int(first), int(last or first) + 1) if first else [None]
            hosts += [prefix if number is None else f"{prefix}{number:0{len(first)}d}" for number in ends]
    return hosts
