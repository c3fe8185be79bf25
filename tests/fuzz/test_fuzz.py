"""Mutated files and words, each from a seed: no traceback, no case over five seconds or 1 GiB, nothing unexplained."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.fuzz.cases import Failure, numbers_of, run_cases

FIXED = 2000
CAMPAIGN = 100_000
SHOWN = 20


def report(failures: list[Failure]) -> str:
    return f"{len(failures)} cases failed:\n" + "\n".join(map(str, failures[:SHOWN]))


@pytest.mark.parametrize("numbers", list(numbers_of(0, FIXED, 4)), ids=str)
def test_fixed_cases(numbers):
    failures = run_cases(numbers)
    assert not failures, report(failures)


@pytest.mark.fuzz
@pytest.mark.timeout(14_400)  # 16 times what two idle cores take, for a machine that is busy with other things
def test_many_cases():
    """A hundred thousand cases, on all cores: `FUZZ_START` and `FUZZ_CASES` choose others."""
    start, count = int(os.environ.get("FUZZ_START", FIXED)), int(os.environ.get("FUZZ_CASES", CAMPAIGN))
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        failures = []
        for part in pool.map(run_cases, numbers_of(start, count, count // 500 or 1)):
            failures += part
            print(*part, sep="\n", end="\n" if part else "", flush=True)  # with -s as they come
    assert not failures, report(failures)
