"""How other people's map-style loaders and accumulation loops count: Accelerate, the HF Trainer, plain DDP.

A corpus is drawn pass after pass. A pass is cut into micro-batches of `per_device` samples, which go round-robin to the
data-parallel devices; one micro-batch for each device is a round, which is one micro-step. An accumulation window is
`gradient_accumulation` micro-steps, and a step ends it. Every round but the last of a pass is full, so all counts have
a closed form: nothing here loops over steps or passes.

The cutting is that of `BatchSamplerShard` with `split_batches=False` (accelerate 1.15, `data_loader.py`), which the HF
Trainer uses too. The ends of passes are policies, since loops differ:

| `uneven` | the last, incomplete round of a pass |
|---|---|
| `pad` | is completed with samples from the start of the pass: duplicates (`even_batches=True`, the default) |
| `drop` | is not drawn (`drop_last=True`) |
| `keep` | stays short: devices get a shorter micro-batch or none (`even_batches=False`) |

| `last_window` | the last, partial accumulation window of a pass |
|---|---|
| `flush` | is stepped as it is (`sync_with_dataloader`; the HF Trainer 5 with map-style data) |
| `carry` | goes on into the next pass; what is left over at the end of the run is never stepped |
| `drop` | is drawn and computed, and never stepped |
| `leak` | is drawn and computed, and its gradients go into the next pass's first step |

Loops leak whose counter of micro-steps starts again with each pass while gradients stay: `(i + 1) % accumulation == 0`
with `i` from `enumerate(loader)`, and the HF Trainer 5 with streamed data. Windows of 4 are then 4, 4, 6, 4, 6, …

torch's `DistributedSampler` of a plain DDP loop pads to a multiple of the devices alone: it counts as `keep` with
`samples` rounded up to that multiple (down, with its `drop_last`).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Literal, get_args

from dist_epochs.errors import InputError

__all__ = ["LastWindow", "Loader", "LoaderCounts", "Uneven", "expected_coverage_of_passes"]

Uneven = Literal["pad", "drop", "keep"]
LastWindow = Literal["flush", "carry", "drop", "leak"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LoaderCounts:
    """What a loop has done at one moment.

    Attributes:
        steps: Optimizer steps.
        micro_steps: Micro-steps computed, on the busiest device; those that no step used are included.
        samples: Samples trained: in the windows that were stepped, over all devices, duplicates included.
        drawn: Samples drawn, over all devices, duplicates included.
        passes_drawn: `drawn` ÷ the samples drawn in one pass: 1 at the end of a pass, whatever it padded or dropped.
        unstepped_micro_steps: Micro-steps in windows that were not stepped, on the busiest device.
    """

    steps: int
    micro_steps: int
    samples: int
    drawn: int
    passes_drawn: Fraction
    unstepped_micro_steps: int

    def epochs(self, corpus: int) -> Fraction:
        """Samples trained ÷ samples of the corpus.

        Raises:
            InputError: If the corpus has no samples.
        """
        _require_positive("corpus", corpus)
        return Fraction(self.samples, corpus)


@dataclass(frozen=True, kw_only=True, slots=True)
class Loader:
    """A loader over a corpus of known size, and the accumulation loop that uses it.

    Attributes:
        samples: Samples of the corpus.
        per_device: Samples of a micro-batch, on one device.
        data_parallel_size: Devices that see different data.
        gradient_accumulation: Micro-steps of a window.
        uneven: What happens to the last, incomplete round of a pass. On one device `pad` adds nothing: Accelerate
            does not shard there, and the last micro-batch stays short. With `keep`, a device that has no micro-batch
            left sits the round out, as with torch's `Join`; without it, DDP would hang.
        last_window: What happens to the last, partial window of a pass.

    Raises:
        InputError: If a size is below 1, a policy is unknown, or the policies leave no step in a pass.

    Examples:
        >>> loader = Loader(samples=101, per_device=8, data_parallel_size=4)
        >>> loader.drawn_per_pass, loader.duplicates_per_pass
        (128, 27)
        >>> loader = Loader(samples=148, per_device=2, gradient_accumulation=6, last_window="carry")
        >>> loader.steps_per_pass, loader.after_steps(200).samples
        (Fraction(37, 3), 2400)
    """

    samples: int
    per_device: int
    data_parallel_size: int = 1
    gradient_accumulation: int = 1
    uneven: Uneven = "pad"
    last_window: LastWindow = "flush"

    def __post_init__(self) -> None:
        for name in ("samples", "per_device", "data_parallel_size", "gradient_accumulation"):
            _require_positive(name.replace("_", " "), getattr(self, name))
        for name, known in (("uneven", get_args(Uneven)), ("last_window", get_args(LastWindow))):
            if getattr(self, name) not in known:
                raise InputError(f"{name} must be {', '.join(known[:-1])} or {known[-1]}, not {getattr(self, name)!r}")
        if self.micro_steps_per_pass == 0:
            raise InputError(
                f"`uneven: drop` of {self.samples} samples on {self.data_parallel_size} devices with {self.per_device} "
                "samples each",
                rule=f"a full round takes {self.samples_per_round}, so every pass is dropped whole",
                consequence="no step is ever made",
                fixes=(f"at most {self.samples} samples a round", "`uneven: pad` or `keep`"),
            )
        if self.steps_per_pass == 0:
            ends = {"drop": "every window is dropped", "leak": "no window is ever full"}
            raise InputError(
                f"`last_window: {self.last_window}` with a gradient accumulation of {self.gradient_accumulation}",
                rule=f"a pass of {self.samples} samples is {self.micro_steps_per_pass} micro-steps of "
                f"{self.samples_per_round}, shorter than one window, so {ends[self.last_window]}",
                consequence="no step is ever made",
                fixes=(
                    f"a gradient accumulation of {self.micro_steps_per_pass} or less",
                    "`last_window: flush` or `carry`",
                ),
            )

    @property
    def samples_per_round(self) -> int:
        """Samples of one full micro-step, over all devices."""
        return self.per_device * self.data_parallel_size

    @property
    def drawn_per_pass(self) -> int:
        """Samples drawn in one pass, over all devices, duplicates included.

        A corpus smaller than a round is repeated as often as the round needs, as Accelerate does.
        """
        full = self.samples_per_round
        if self.uneven == "drop":
            return self.samples // full * full
        if self.uneven == "pad" and self.data_parallel_size > 1:
            return -(-self.samples // full) * full
        return self.samples

    @property
    def duplicates_per_pass(self) -> int:
        """Samples drawn again in the same pass to complete its last round."""
        return max(self.drawn_per_pass - self.samples, 0)

    @property
    def dropped_per_pass(self) -> int:
        """Samples that the loader does not draw in a pass; those of dropped windows are drawn and not in here."""
        return max(self.samples - self.drawn_per_pass, 0)

    @property
    def micro_steps_per_pass(self) -> int:
        """Micro-steps of one pass, on the busiest device."""
        return -(-self.drawn_per_pass // self.samples_per_round)

    @property
    def steps_per_pass(self) -> Fraction:
        """Steps of one pass; a whole number, except with `carry`, where it is their mean over passes."""
        windows = Fraction(self.micro_steps_per_pass, self.gradient_accumulation)
        if self.last_window == "carry":
            return windows
        return Fraction(ceil(windows) if self.last_window == "flush" else floor(windows))

    def after_steps(self, steps: int) -> LoaderCounts:
        """The counts of a loop that stops right after step `steps`, as `max_steps` does.

        Raises:
            InputError: If `steps` is below 1.

        Examples:
            >>> Loader(samples=9, per_device=2, gradient_accumulation=2).after_steps(3).passes_drawn
            Fraction(1, 1)
        """
        _require_positive("steps", steps)
        if self.last_window == "carry":
            return self._counts(steps, steps * self.gradient_accumulation)
        passes, windows = divmod(steps - 1, int(self.steps_per_pass))  # before the last step, to stop ahead of a tail
        in_pass = min((windows + 1) * self.gradient_accumulation, self.micro_steps_per_pass)
        return self._counts(steps, passes * self.micro_steps_per_pass + in_pass)

    def after_passes(self, passes: Fraction | int) -> LoaderCounts:
        """The counts of a loop that is told a number of passes, such as `num_train_epochs`.

        Whole passes are drawn to their end. Of a fraction, `flush` does what the HF Trainer does, which stops after
        ceil(passes × steps per pass) steps; the others stop after floor(passes × micro-steps per pass)
        micro-steps, and may make no step at all. (The Trainer multiplies floats: 1.1 passes of 50 steps are
        56 steps there, and 55 here.)

        Raises:
            InputError: If `passes` is not above 0.

        Examples:
            >>> Loader(samples=4107, per_device=8, gradient_accumulation=8).after_passes(2).steps
            130
        """
        if passes <= 0:
            raise InputError(f"passes must be above 0, not {passes}", rule="nothing would be drawn")
        if self.last_window == "flush":
            return self.after_steps(ceil(passes * self.steps_per_pass))
        micro_steps = floor(passes * self.micro_steps_per_pass)
        if self.last_window == "carry":
            return self._counts(micro_steps // self.gradient_accumulation, micro_steps)
        whole, rest = divmod(micro_steps, self.micro_steps_per_pass)
        return self._counts(whole * int(self.steps_per_pass) + rest // self.gradient_accumulation, micro_steps)

    def steps_to_train(self, samples: int) -> int:
        """The first step after which at least `samples` samples are trained, duplicates included.

        Raises:
            InputError: If `samples` is below 1.

        Examples:
            >>> Loader(samples=260, per_device=16, gradient_accumulation=2).steps_to_train(257)
            9
        """
        _require_positive("samples to train", samples)
        full = self.samples_per_round
        if self.last_window == "carry":
            passes, before = divmod(samples - 1, self.drawn_per_pass)
            micro_steps = passes * self.micro_steps_per_pass + before // full + 1
            return -(-micro_steps // self.gradient_accumulation)
        passes, before = divmod(samples - 1, self.trained_per_pass)
        return passes * int(self.steps_per_pass) + before // (self.gradient_accumulation * full) + 1

    @property
    def trained_per_pass(self) -> int:
        """Samples of a pass that get into a step, duplicates included.

        With `carry` and `leak`, some of them in a step of a later pass; those left at the end of the run are not.
        """
        if self.last_window in ("carry", "leak"):
            return self.drawn_per_pass
        return min(self.drawn_per_pass, int(self.steps_per_pass) * self.gradient_accumulation * self.samples_per_round)

    def _drawn(self, micro_steps: int) -> int:
        passes, rounds = divmod(micro_steps, self.micro_steps_per_pass)
        return passes * self.drawn_per_pass + rounds * self.samples_per_round  # only the last round of a pass is short

    def _trained(self, steps: int) -> int:
        if self.last_window in ("carry", "leak"):
            return self._drawn(self._stepped(steps))
        passes, windows = divmod(steps, int(self.steps_per_pass))
        return passes * self.trained_per_pass + windows * self.gradient_accumulation * self.samples_per_round

    def _stepped(self, steps: int) -> int:
        """Micro-steps in the windows of so many steps, with every policy but `flush`."""
        if self.last_window != "leak" or not steps:
            return steps * self.gradient_accumulation
        passes, windows = divmod(steps - 1, int(self.steps_per_pass))
        return passes * self.micro_steps_per_pass + (windows + 1) * self.gradient_accumulation

    def _counts(self, steps: int, micro_steps: int) -> LoaderCounts:
        stepped = micro_steps if self.last_window == "flush" else self._stepped(steps)
        drawn = self._drawn(micro_steps)
        return LoaderCounts(
            steps=steps,
            micro_steps=micro_steps,
            samples=self._trained(steps),
            drawn=drawn,
            passes_drawn=Fraction(drawn, self.drawn_per_pass),
            unstepped_micro_steps=micro_steps - stepped,
        )


def _require_positive(name: str, count: int) -> None:
    """Refuse a count below 1, by its name."""
    if count < 1:
        raise InputError(f"{name} must be at least 1, not {count}")


MOST_POWERS = 1000
"""Passes after which what is missed is nothing."""


def expected_coverage_of_passes(corpus: int, trained_per_pass: int, trained: int) -> Fraction:
    """Expected share of the corpus that is trained at least once, if every pass is shuffled anew.

    What a pass drops is another part of the corpus each time, so p passes miss the p-th power of its share.

    Args:
        corpus: Samples of the corpus.
        trained_per_pass: Samples that a pass trains, duplicates included.
        trained: Samples that the run trains.
    """
    whole, rest = divmod(trained, trained_per_pass)
    missed_per_pass = 1 - Fraction(min(trained_per_pass, corpus), corpus)
    missed = missed_per_pass ** min(whole, MOST_POWERS) if missed_per_pass else Fraction(not whole)
    return 1 - missed * (1 - Fraction(min(rest, corpus), corpus))
