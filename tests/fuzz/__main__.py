"""Run single cases again: `python -m tests.fuzz 1234 …`."""

import sys

from tests.fuzz.cases import run_cases

for failure in run_cases(map(int, sys.argv[1:])):
    print(failure)
