"""Exchange between ranks on the host, independent of what the devices compute."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from dist_epochs.errors import InputError, Origin

__all__ = ["Alone", "Peers", "RanksDiffer", "Sums", "on_first", "together"]


class RanksDiffer(RuntimeError):
    """Something failed on one rank, so all ranks stop."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Numbers that are being added over the ranks.

    Attributes:
        wait: Waits for the sums.
        done: Whether that would return at once.
    """

    wait: Callable[[], list[int]]
    done: Callable[[], bool] = lambda: True

    def __call__(self) -> list[int]:
        """Wait for the sums."""
        return self.wait()


class Peers(Protocol):
    """All ranks, as far as counting needs them.

    Attributes:
        rank: Index of this process.
        size: Processes in all.
        group: Their process group on the host, as torch takes it; None for one process.
    """

    rank: int
    size: int
    group: Any

    def sum(self, values: Sequence[int]) -> Sums:
        """Begin to add 64-bit integers over all ranks, wrapping."""

    def share(self, text: str) -> list[str]:
        """Wait for all ranks; every rank's text, in the order of the ranks."""


class Alone:
    """One process: nothing to add."""

    rank = 0
    size = 1
    group = None

    def sum(self, values: Sequence[int]) -> Sums:
        """The values themselves."""
        return Sums(lambda: list(values))

    def share(self, text: str) -> list[str]:
        """The text itself."""
        return [text]


def together(peers: Peers, action: Callable[[], str]) -> list[str]:
    """Do something on every rank and wait for all: every rank's result, or the same error on every rank.

    Args:
        peers: All of them call this.
        action: What to do; it returns text.

    Raises:
        InputError: The one that `action` raised on any rank, with its fields.
        RanksDiffer: For any other error, with its text and its rank.
    """
    try:
        outcome = "+" + action()
    except InputError as error:
        outcome = f"!{_to_text(error)}"
    except Exception as error:  # a full disk comes as OSError, as SafetensorError, or as bare Exception
        outcome = f"-{error}" if peers.size == 1 else f"-rank {peers.rank}: {error}"
    outcomes = peers.share(outcome)
    for text in outcomes:
        if text.startswith("!"):
            raise _from_text(text[1:])
    failed = [text[1:] for text in outcomes if text.startswith("-")]
    if failed:
        raise RanksDiffer("; ".join(failed))
    return [text[1:] for text in outcomes]


def on_first(peers: Peers, action: Callable[[], object]) -> str:
    """Do something on rank 0; all ranks wait for it, and get its result (if it is text) or its error.

    Raises:
        InputError: The one that `action` raised.
        RanksDiffer: For any other error.
    """

    def act() -> str:
        result = action() if peers.rank == 0 else None
        return result if isinstance(result, str) else ""

    return together(peers, act)[0]


def _to_text(error: InputError) -> str:
    """The parts of an error, to be sent to other ranks."""
    return json.dumps([{**each.parts, "origin": asdict(each.origin) if each.origin else None} for each in error.errors])


def _from_text(text: str) -> InputError:
    """The error that another rank sent."""
    parts = json.loads(text)
    return InputError.together(
        InputError(**{**part, "origin": Origin(**part["origin"]) if part["origin"] else None}) for part in parts
    )
