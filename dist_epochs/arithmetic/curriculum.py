"""Which source each draw of each phase comes from, where phases may mix their sources differently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dist_epochs.arithmetic.counts import Draw, PassKey
from dist_epochs.arithmetic.mixture import Mixture
from dist_epochs.arithmetic.schedule import Schedule, Span

__all__ = ["Curriculum"]


@dataclass(frozen=True, slots=True)
class Curriculum:
    """The mixture of each phase, and one cursor for each source and length that goes on from phase to phase.

    The draws of a phase follow its mixture's pattern from the number that the phase begins with among all draws of its
    length. Phases that mix alike therefore go on in the pattern as one phase would.

    Attributes:
        schedule: The phases of the run.
        mixtures: The mixture of each phase.
        shifts: Of each phase, what is added to its mixture's own count of the draws of a source to get its cursor.

    Examples:
        >>> from fractions import Fraction
        >>> from dist_epochs.arithmetic.schedule import Phase
        >>> both, web = Mixture.of({"web": Fraction(1), "code": Fraction(1)}), Mixture.of({"web": Fraction(1)})
        >>> schedule = Schedule((Phase(steps=2, sequence_length=8, global_batch=4),) * 3)
        >>> curriculum = Curriculum(schedule, (both, web, both))
        >>> [curriculum.split(span) for span in schedule.spans()]
        [{'web': (0, 4), 'code': (0, 4)}, {'web': (4, 12)}, {'web': (12, 16), 'code': (4, 8)}]
    """

    schedule: Schedule
    mixtures: tuple[Mixture, ...]
    shifts: tuple[Mapping[str, int], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        cursors: dict[tuple[str, int], int] = {}
        shifts = []
        for mixture, span in zip(self.mixtures, self.schedule.spans(), strict=True):
            shift = {}
            for name, (start, stop) in mixture.split(span.start, span.stop).items():
                place = (name, span.sequence_length)
                shift[name] = cursors.get(place, 0) - start
                cursors[place] = stop + shift[name]
            shifts.append(shift)
        object.__setattr__(self, "shifts", tuple(shifts))

    @classmethod
    def of(cls, schedule: Schedule, mixture: Mixture | Sequence[Mixture]) -> Curriculum:
        """From the mixture of all phases, or of each."""
        if isinstance(mixture, Mixture):
            mixture = (mixture,) * len(schedule.phases)
        return cls(schedule, tuple(mixture))

    @property
    def names(self) -> tuple[str, ...]:
        """The sources of all phases."""
        return tuple(dict.fromkeys(name for mixture in self.mixtures for name in mixture.names))

    @property
    def is_uniform(self) -> bool:
        """Whether all phases mix alike."""
        return len(set(self.mixtures)) == 1

    def split(self, span: Span) -> dict[str, tuple[int, int]]:
        """The draws of a span, which lies in one phase, as a range of each source's own sequence."""
        shift, ranges = self.shifts[span.phase], self.mixtures[span.phase].split(span.start, span.stop)
        return {name: (start + shift[name], stop + shift[name]) for name, (start, stop) in ranges.items()}

    def draws(self, span: Span, samples: Mapping[str, int]) -> Iterator[Draw]:
        """Cut a span of draws by source and by pass.

        Args:
            span: Draws of one phase.
            samples: Samples per pass of each source, at the span's length.
        """
        for source, (start, stop) in self.split(span).items():
            size = samples[source]
            while start < stop:
                number, offset = divmod(start, size)
                taken = min(size - offset, stop - start)
                yield Draw(PassKey(span.phase, source, span.sequence_length, number), offset, offset + taken)
                start += taken
