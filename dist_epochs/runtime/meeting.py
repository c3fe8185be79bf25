"""Ranks meet before anything of them waits in a collective, so that the trouble of one is told by rank 0 and ends all.

They meet in a store that rank 0 serves, or torchrun's agent. Each rank adds what it has to say; rank 0 reads it all,
and writes what follows, which the others wait for. So the cost of a round grows with the ranks, not with their square.
"""

from __future__ import annotations

import hashlib
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self
from uuid import uuid4

from torch.distributed import DistError, Store

from dist_epochs.errors import EXIT_INPUT, PATIENCE, InputError, error_text
from dist_epochs.runtime.troubles import (
    Place,
    RankFailed,
    error_from_text,
    error_to_text,
    is_wrong_input,
    missing_error,
    places,
    told_once,
    twice_error,
)  # fmt: skip
from dist_epochs.terminal import show

__all__ = ["Meeting", "NoMeeting", "Said", "Unheard"]

SHORTEST, LONGEST = 0.01, 0.5
"""Seconds between two looks at the store, at first and after a while."""

AT_ONCE = 2000
"""Ranks that look at the store in one second, at most."""

WATCHED_EVERY = 0.25
"""Seconds between two looks at whether another rank is in trouble. Ranks that have the same trouble have eight
times as long to say so, and all have as long again to hear that it is told; those that do not are gone."""

LISTENING_TIME = 5.0
"""Seconds that rank 0 stays after a verdict, until all have read it: the store may end with it."""

ANSWERING_TIME = 60.0
"""Seconds to wait at least for ranks that came."""

LASTING = ("troubles", "ended", "informed")
"""What belongs to no round."""

Said = tuple[Place, str]
"""What a rank said."""


class Unheard(InputError):
    """The error of a rank that rank 0 cannot tell, since it did not come or is gone.

    Attributes:
        speaks: Whether this rank prints it instead.
    """

    speaks = True


class NoMeeting:
    """A single process, or one that was not started by a launcher: there is nobody to meet."""

    def watch(self) -> None:
        """Nobody else can be in trouble."""

    def release(self) -> None:
        """Nobody is watched."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Errors stay what they are."""


class Meeting:
    """All ranks of a launch, before training. Every rank calls `round` and `watch` in the same order.

    An error that ends the `with` block on any rank ends it on all, with the same error, unless `release` was called
    before. Rank 0 is then the one that prints it.

    Args:
        store: Where they meet.
        place: This process.
        size: Ranks in all.
        patience: Seconds that ranks wait for each other.
        speaks: Whether this rank prints an error that rank 0 cannot tell.
    """

    def __init__(self, store: Store, place: Place, size: int, patience: float, *, speaks: bool) -> None:
        self.size = size
        self._store, self._place, self._patience, self._speaks = store, place, patience, speaks
        self._session = uuid4().hex if place.rank == 0 else ""
        self._rounds = 0
        self._everyone: list[Place] = []
        self._told: BaseException | None = None
        self._watcher = threading.Thread(target=self._watch, daemon=True, name="troubles")
        self._released = threading.Event()
        self._ending = threading.Lock()
        if place.rank == 0:  # ranks of an attempt before this one may have used the same store
            store.set("session", self._session)

    def round(self, text: str, judge: Callable[[Sequence[Said]], str]) -> str:
        """Say something, and hear what rank 0 makes of what all ranks said.

        Args:
            text: What this rank says; the text of an error is judged too.
            judge: Called on rank 0 with what all ranks said.

        Raises:
            InputError: What `judge` raised, or the ranks that did not come; the same on every rank.
            RankFailed: If `judge` raised something else.
            Unheard: If rank 0 did not come, or is gone.
        """
        self._rounds += 1
        try:
            verdict = self._judged(text, judge) if self._place.rank == 0 else self._heard(text)
        except DistError:
            raise self._unheard("the connection to rank 0 broke") from None
        if not verdict.startswith("+"):
            self._told = error_from_text(verdict)
            raise self._told
        return verdict[1:]

    def watch(self) -> None:
        """From now on, end this process if another rank is in trouble while this one waits for it."""
        self._watcher.start()

    def release(self) -> None:
        """The ranks go on by themselves; from now on their errors are told elsewhere."""
        with self._ending:
            self._released.set()
        if self._watcher.is_alive():
            self._watcher.join()  # it may be looking at the store

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._released.is_set():
            return
        self.release()
        if not isinstance(error, Exception) or error is self._told or isinstance(error, Unheard):
            return
        try:
            told = self._tell(error)
        except DistError:
            raise self._unheard("the connection to rank 0 broke", error) from None
        raise told from error

    def _judged(self, text: str, judge: Callable[[Sequence[Said]], str]) -> str:
        """Rank 0: hear all, and tell them what follows."""
        self._say("said", text)
        try:
            verdict = "+" + judge(self._all_said())
        except Exception as error:
            verdict = error_to_text(error)
        self._store.set(self._key("verdict"), verdict)
        if not verdict.startswith("+"):
            others = len(self._read("said")) - 1
            self._until(lambda: self._store.add(self._key("read"), 0) >= others, LISTENING_TIME)
        return verdict

    def _all_said(self) -> list[Said]:
        """What all ranks said, by rank."""
        everyone = self._until(lambda: self._store.add(self._key("number"), 0) >= self.size, self._patience_now)
        said = self._read("said")
        if double := twice_error([place for place, _ in said], self.size):
            raise double
        if not everyone:
            missing = missing_error([place for place, _ in said], self.size, self._patience_now, os.environ)
            wrong = told_once(said, self.size) if any(is_wrong_input(text) for _, text in said) else None
            raise InputError.together([missing, wrong]) if isinstance(wrong, InputError) else missing
        self._everyone = sorted(place for place, _ in said)
        return sorted(said)

    def _heard(self, text: str) -> str:
        """Another rank: say something, and wait for what follows."""
        said_in, begun = "", time.monotonic()

        def has_said() -> bool:
            nonlocal said_in, begun
            if self._rounds == 1 and self._store.check(["session"]):
                self._session = self._store.get("session").decode()
            if self._session == said_in:
                return bool(said_in)
            if self._rounds == 1 and self._store.check([self._key("verdict")]):
                return False  # nobody can have judged this rank yet: an attempt before this one left it behind
            self._say("said", text)
            said_in, begun = self._session, time.monotonic()
            return True

        def answered() -> bool:
            if has_said() and self._store.check([self._key("verdict")]):
                return True
            if time.monotonic() - begun > self._patience_now + (LISTENING_TIME if said_in else 0):
                what = "said nothing" if said_in else "did not come"
                raise self._unheard(f"rank 0 {what} in {self._patience_now:g} s")
            return False

        self._until(answered, math.inf)
        verdict: str = self._store.get(self._key("verdict")).decode()
        if not verdict.startswith("+"):
            self._store.add(self._key("read"), 1)
        return verdict

    def _tell(self, error: Exception) -> Exception:
        """Tell the other ranks an error that this one has; the error of all that have one."""
        text = error_to_text(error)
        self._say("troubles", text)
        if self._place.rank == 0:
            return self._gathered()
        return error_from_text(text) if self._answered() else self._unheard("rank 0 does not answer", error)

    def _gathered(self) -> Exception:
        """Rank 0: the troubles of all ranks that have one, as one error; the other ranks know that it is told."""
        self._until(lambda: len(self._read("troubles")) >= self.size, 8 * self._interval)
        said = sorted(self._read("troubles"))
        told = told_once(said, self.size)
        self._store.set(self._key("ended"), "")
        self._until(lambda: len(self._read("informed")) >= self.size - 1, 8 * self._interval)
        heard = {place for place, _ in [*said, *self._read("informed")]} | {self._place}
        if isinstance(told, RankFailed) and (gone := set(self._everyone) - heard):
            return RankFailed(f"{places(gone)} of {self.size} {'is' if len(gone) == 1 else 'are'} gone; {told}")
        return told

    def _answered(self) -> bool:
        """Another rank: whether rank 0 tells the troubles of all."""
        if not self._until(lambda: self._store.check([self._key("ended")]), PATIENCE):
            return False
        self._say("informed", "")
        return True

    def _watch(self) -> None:
        while not self._released.wait(self._interval):
            try:
                if not self._store.check([self._key("troubles")]):
                    continue
                with self._ending:
                    if self._released.is_set():
                        return
                    self._end()
            except DistError:
                return  # the store ends with rank 0, whose end the collectives notice

    def _end(self) -> None:
        """End this process with the troubles of others."""
        said = sorted(self._read("troubles"))
        code = EXIT_INPUT if any(is_wrong_input(text) for _, text in said) else 1
        if self._place.rank == 0:
            told = self._gathered()
            show(error_text(told) if isinstance(told, InputError) else f"error: {told}", err=True)
        else:
            self._answered()
            time.sleep(1)  # a launcher ends all ranks when the first exits, and rank 0 must speak first
        sys.stdout.flush()
        os._exit(code)

    def _unheard(self, what: str, error: Exception | None = None) -> Unheard:
        """An error that this rank must tell itself: its own, or that rank 0 is not there."""
        where = f"{places([self._place])} of {self.size}"
        if isinstance(error, InputError):
            made = Unheard(str(error), rule=f"on {where}", consequence=what)
        else:
            reason = f"; {type(error).__name__}: {error}" if error else ""
            made = Unheard(what, rule=f"waiting for it: {where}{reason}", fixes=("the messages of rank 0",))
            made.speaks = self._speaks
        return made

    @property
    def _interval(self) -> float:
        """Seconds between two looks at whether another rank is in trouble."""
        return max(WATCHED_EVERY, self.size / AT_ONCE)

    @property
    def _patience_now(self) -> float:
        """Seconds to wait for the other ranks; those that came have started, and may look for files meanwhile."""
        return self._patience if self._rounds == 1 else max(self._patience, ANSWERING_TIME)

    def _key(self, name: str) -> str:
        return f"{self._session}/{name if name in LASTING else f'{self._rounds}/{name}'}"

    def _say(self, what: str, text: str) -> None:
        """Add what this rank says to what others said; texts that are the same are kept once."""
        digest = hashlib.sha256(text.encode()).hexdigest()
        self._store.set(f"text/{digest}", text)
        self._store.append(self._key(what), f"{self._place.rank} {digest} {self._place.host}\n")
        self._store.add(self._key("number"), 1)

    def _read(self, what: str) -> list[Said]:
        """What was said up to now."""
        texts: dict[str, str] = {}
        said = []
        lines = self._store.get(self._key(what)).decode().splitlines() if self._store.check([self._key(what)]) else ()
        for line in lines:
            rank, digest, host = line.split(" ", 2)
            if digest not in texts:
                texts[digest] = self._store.get(f"text/{digest}").decode()
            said.append((Place(int(rank), host), texts[digest]))
        return said

    def _until(self, happened: Callable[[], bool], seconds: float) -> bool:
        """Look until something happened, or the time is over; a signal is received meanwhile."""
        deadline, pause = time.monotonic() + seconds, SHORTEST
        while not happened():
            if (left := deadline - time.monotonic()) <= 0:
                return False
            time.sleep(min(pause, left))
            pause = min(2 * pause, max(LONGEST, self.size / AT_ONCE))
        return True
