"""Exchange between ranks on the host, independent of what the devices compute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from socket import gethostname
from typing import Any, Protocol

from dist_epochs.errors import InputError
from dist_epochs.runtime.troubles import Place, error_from_text, error_to_text, is_wrong_input, told_once

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
        InputError: Those that `action` raised, with the ranks and hosts that raised them, if it is not all of them.
        RanksDiffer: For any other error, with its text and its rank.
    """
    outcomes = _outcomes(peers, action)
    if wrong := [(place, text) for place, text in outcomes if is_wrong_input(text)]:
        raise told_once(wrong, peers.size)
    return _results(outcomes)


def on_first(peers: Peers, action: Callable[[], object]) -> str:
    """Do something on rank 0; all ranks wait for it, and get its result (if it is text) or its error.

    Raises:
        InputError: The one that `action` raised.
        RanksDiffer: For any other error.
    """

    def act() -> str:
        result = action() if peers.rank == 0 else None
        return result if isinstance(result, str) else ""

    outcomes = _outcomes(peers, act)
    if is_wrong_input(outcomes[0][1]):
        raise error_from_text(outcomes[0][1])
    return _results(outcomes)[0]


def _outcomes(peers: Peers, action: Callable[[], str]) -> list[tuple[Place, str]]:
    """Every rank's result after a `+`, the text of an `InputError`, or that of any other error after a `-`."""
    try:
        outcome = "+" + action()
    except InputError as error:
        outcome = f"{error_to_text(error)}\n{gethostname()}"
    except Exception as error:  # a full disk comes as OSError, as SafetensorError, or as bare Exception
        outcome = f"-{error}" if peers.size == 1 else f"-rank {peers.rank}: {error}"
    shared = [text.partition("\n")[::2] if is_wrong_input(text) else (text, "") for text in peers.share(outcome)]
    return [(Place(rank, host), text) for rank, (text, host) in enumerate(shared)]


def _results(outcomes: Sequence[tuple[Place, str]]) -> list[str]:
    """The results of all ranks, or the errors of those that failed."""
    failed = [text[1:] for _, text in outcomes if text.startswith("-")]
    if failed:
        raise RanksDiffer("; ".join(failed))
    return [text[1:] for _, text in outcomes]
