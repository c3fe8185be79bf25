"""A hundred random kills over changing worlds: `python -m pytest -m campaign -s tests/chaos`.

Every run is disturbed ten times, with its number as the seed, and then left to finish.
"""

import random
import signal
import time

import pytest

from dist_epochs.train.checkpoints.manifest import read_manifest
from tests.chaos.harness import bitwise_equal, difference, flip_byte
from tests.chaos.ranks import BOOKED

RUNS, KILLS = 10, 10
SECTIONS = {
    "phases": [{"steps": 180, "sequence_length": 16}, {"steps": 120, "sequence_length": 32}],
    "checkpoints": {"steps": 5},
}


def disturb(draw, run, world):
    """One segment that ends with a kill -9: of all ranks or of one, at a step, at a moment, or inside a commit."""
    kind = draw.choice(["step", "step", "moment", "commit"])
    if kind == "commit":
        return run.run(world, {"rank": draw.randrange(world), "kill_at_event": draw.randint(1, 40)})
    victim = draw.choice([None, draw.randrange(world)]) if kind == "step" else None  # before they met, all go
    few, delay = draw.randint(0, 15), draw.uniform(0, 0.9)

    def during(segment, ranks):
        began = time.monotonic()
        while time.monotonic() - began < 20:
            booked = len(segment.steps(BOOKED))
            if (booked > few) if kind == "step" else (time.monotonic() - began > delay):
                break
            time.sleep(0.002)
        for rank in ranks if victim is None else [ranks[victim]]:
            rank.signal(signal.SIGKILL)

    return run.run(world, during=during)


@pytest.mark.campaign
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", range(RUNS))
def test_a_hundred_kills(chaos, undisturbed, number):
    draw = random.Random(number)
    worlds = [4, 2, 3, 1] if number == 0 else [draw.randint(1, 4) for _ in range(4)]
    if number % 5 == 4:
        worlds = [draw.randint(1, 4)]  # one world throughout: bit by bit
    check(draw, chaos, undisturbed, number, worlds, SECTIONS)


@pytest.mark.campaign
@pytest.mark.timeout(600)
@pytest.mark.parametrize("worlds", [[4, 2, 3, 1], [3]], ids=str)
def test_twenty_kills_of_sharded_runs(chaos, undisturbed, worlds):
    number = RUNS + len(worlds)
    check(random.Random(number), chaos, undisturbed, number, worlds, SECTIONS | {"hardware": {"zero_stage": 3}})


def check(draw, chaos, undisturbed, number, worlds, sections):
    run = chaos("a", "timeout=20 seconds", pause=0.01, **sections)
    kills, flips = 0, 0
    while kills < KILLS:
        segment = disturb(draw, run, worlds[kills % len(worlds)])
        assert -signal.SIGKILL in segment.codes, "the run ended before its kills; make it longer"
        kills += 1
        flips += flip_some(draw, run)
    segment = run.run(worlds[0])
    assert set(segment.codes) == {0}, segment.log
    run.check_finished()
    result, reference = run.result, undisturbed(worlds[0], **sections)
    away = difference(run.weights(), reference)
    print(
        f"\nrun {number}: {kills} kills, {flips} flipped bytes, worlds {' '.join(str(s.world) for s in run.segments)}, "
        f"{result.totals.replayed.steps} steps replayed, goodput {result.goodput:.0%}, |dw|/|w| {away:.1e}"
    )
    assert away <= 1e-5
    if len(worlds) == 1:
        assert bitwise_equal(run.weights(), reference)


def flip_some(draw, run):
    """Now and then the newest of several checkpoints is damaged; all the others must be whole."""
    newest, *others = [*run.checkpoints(), None]
    for folder in filter(None, others):
        read_manifest(folder).check_files(folder)
    if len(others) < 2 or draw.random() > 0.2:
        return 0
    flip_byte(draw.choice(sorted(newest.iterdir())), draw.randrange(10**6))
    return 1
