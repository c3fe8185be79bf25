"""Opens the run directory of a user's own loop: what earlier programs recorded there, and how large the data is."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from dist_epochs.errors import InputError, Origin
from dist_epochs.ledger.loop_notes import read_loop_notes
from dist_epochs.ledger.reading import read_totals
from dist_epochs.ledger.totals import Totals
from dist_epochs.ledger.writer import LEDGER_FILE, now
from dist_epochs.runtime.files import run_lock
from dist_epochs.runtime.peers import Peers, on_first

__all__ = ["Data", "Opened", "open_run"]


@dataclass(frozen=True, slots=True)
class Data:
    """How large one pass over the data is.

    Attributes:
        samples: Samples of a pass; None if not known.
        tokens: Tokens of a pass; None if not known.
        known: How this is known: `stated`, `store`, `dataset` or `learned`.
        sources: Samples of a pass over each source; None if not known.
    """

    samples: int | None
    tokens: int | None
    known: str
    sources: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A run directory that this program writes to.

    Attributes:
        totals: What earlier segments recorded.
        from_step: Steps taken before this program.
        stack: Keeps the directory locked for this program.
        began: When it was opened, in seconds since 1970.
        steps: Steps of the whole run, where the loop knows them.
        data: What is known of the data before there is a loader.
        gap: Steps taken before this program that the ledger does not have.
        passed: Samples that were drawn up to the end of the last pass.
    """

    totals: Totals
    from_step: int
    stack: ExitStack
    began: float = field(default_factory=now)
    steps: int | None = None
    data: Data | None = None
    gap: int = 0
    passed: int = 0

    def release(self) -> None:
        """Let other programs write to the directory."""
        self.stack.close()


def open_run(
    run: Path,
    peers: Peers,
    *,
    samples: int | Mapping[str, int] | None,
    store: str | Path | None,
    from_step: int | None,
) -> Opened:
    """Make a run directory, or open the one that is there. Every rank calls this; only rank 0 reads and writes it.

    Raises:
        InputError: As `Ledger`.
    """
    for size in samples.values() if isinstance(samples, Mapping) else [samples]:
        if size is not None and size < 1:
            raise InputError(
                f"samples must be at least 1, not {size}",
                rule="they are those of one pass over the data",
                origin=Origin("samples"),
            )
    if from_step is not None and from_step < 0:
        raise InputError(
            f"from_step must be at least 0, not {from_step}",
            rule="it counts the steps that were taken before",
            origin=Origin("from_step"),
        )
    _check_launch(peers)
    found = Opened(Totals(), from_step or 0, ExitStack())

    def open_directory() -> None:
        nonlocal found
        try:
            run.mkdir(parents=True, exist_ok=True)
            (run / LEDGER_FILE).open("ab").close()
        except OSError as error:
            raise InputError(
                error.strerror or str(error),
                rule="a ledger needs a directory that it can write to",
                origin=Origin(str(run)),
            ) from None
        with ExitStack() as stack:
            stack.enter_context(run_lock(run))
            earlier = _earlier(run / LEDGER_FILE, from_step)
            data = _stated_data(samples, store) or earlier.data
            found = replace(earlier, stack=stack.pop_all(), data=data)

    on_first(peers, open_directory)
    return found


def _check_launch(peers: Peers) -> None:
    """Refuse several processes that are not connected: each would write its own counts to the same file."""
    launched = int(os.environ.get("WORLD_SIZE") or 1)
    if launched > 1 and peers.size == 1:
        raise InputError(
            f"WORLD_SIZE is {launched} and this process knows of no other rank",
            consequence="each of them would count alone",
            fixes=(
                "to make the Accelerator, or to call torch.distributed.init_process_group, before the Ledger",
                "on a CPU, a launch with ACCELERATE_USE_CPU=true",
            ),
        )


def _earlier(path: Path, from_step: int | None) -> Opened:
    """What earlier programs recorded, up to a step."""
    if not path.exists() or not path.stat().st_size:
        totals, passed, data = Totals(), 0, None
    else:
        last = read_totals(path).last_step
        if from_step is None and last:
            raise InputError(
                f"a ledger of {last:,} steps is there",
                consequence="nothing in it was changed",
                fixes=(
                    "another directory",
                    f"from_step={last}, where the loop resumes after the last step",
                    "resume_from_checkpoint, where the HF Trainer resumes",
                ),
                origin=Origin(str(path)),
            )
        totals, notes = read_totals(path, up_to=min(from_step or 0, last)), read_loop_notes(path)
        corpus = notes.corpus
        data = Data(corpus["samples"], corpus["tokens"], corpus["known"], corpus.get("sources")) if corpus else None
        ended = (entry for entry in notes.passes if entry["step"] + entry.get("left", False) <= (from_step or 0))
        passed = max((entry["drawn"] for entry in ended), default=0)
    gap = max((from_step or 0) - totals.last_step, 0)
    totals.applied.steps += gap
    return Opened(totals, from_step or 0, ExitStack(), data=data, gap=gap, passed=passed)


def _stated_data(samples: int | Mapping[str, int] | None, store: str | Path | None) -> Data | None:
    """The size of the data, where the user stated it or named a store."""
    sources = samples if isinstance(samples, Mapping) else None
    if isinstance(samples, Mapping):
        samples = sum(samples.values())
    if store is None:
        return None if samples is None else Data(samples, None, "stated", sources)
    path = Path(store)
    path = path / "manifest.json" if path.is_dir() else path
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        drawn = [source for source in manifest["sources"] if not source["held_out"]]
        documents, tokens = (sum(int(source[unit]) for source in drawn) for unit in ("documents", "tokens"))
    except OSError as error:
        raise InputError(
            error.strerror or str(error),
            rule="a store has a manifest.json, which `dist-epochs tokenize` writes",
            origin=Origin(str(path)),
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"no manifest of a store: {type(error).__name__} {error}", origin=Origin(str(path))) from None
    return Data(samples or documents, tokens, "store", sources)
