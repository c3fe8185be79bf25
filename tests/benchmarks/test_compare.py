"""Comparing two long ledgers, beside parsing their lines alone."""

import json
import subprocess
import sys
import time
from statistics import median

import pytest

pytestmark = pytest.mark.benchmark

STEPS, PAIRS = 100_000, 5


def write(path, first_digest):
    with path.open("w") as file:
        file.write('{"event":"segment","from_step":0,"time":0.0}\n')
        for step in range(1, STEPS + 1):
            drawn = f'[[0,"web",128,0,256,32000,4800,"{(step + first_digest) * 7919:032x}"]]'
            file.write(f'{{"event":"begin","step":{step}}}\n')
            file.write(f'{{"event":"applied","step":{step},"micro_steps":4,"drawn":{drawn},"time":{step}.5}}\n')


COMPARE = """
import sys, time
from pathlib import Path
from dist_epochs.audit.compare.samples import compare_samples
began = time.process_time()
found = compare_samples(*map(Path, sys.argv[1:]))
print(time.process_time() - began, found.differing)
"""


@pytest.mark.parametrize("shift", [0, 1], ids=["equal", "all-differ"])
def test_two_ledgers(tmp_path, shift):
    write(tmp_path / "a", 0)
    write(tmp_path / "b", shift)
    ratios, seconds = [], []
    for _ in range(PAIRS):
        began = time.process_time()
        for name in "ab":
            with (tmp_path / name).open("rb") as file:
                for line in file:
                    json.loads(line)
        parsing = time.process_time() - began
        words = [sys.executable, "-c", COMPARE, str(tmp_path / "a"), str(tmp_path / "b")]
        comparing, differing = map(float, subprocess.check_output(words, text=True).split())
        assert differing == STEPS * shift
        ratios.append(comparing / parsing)
        seconds.append(comparing)
    print(f"\n{STEPS:,} steps: {median(seconds):.2f} CPU seconds, {median(ratios):.2f} of json.loads")
