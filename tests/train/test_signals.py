import os
import signal
import subprocess
import sys
import time

import pytest

from dist_epochs.train.signals import StopSignals


def until(happened):
    deadline = time.monotonic() + 120  # for a machine that is busy with other things
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_to_stop(number):
    before = signal.getsignal(number)
    with StopSignals() as signals:
        assert not signals.stop()
        os.kill(os.getpid(), number)
        until(signals.stop)
        os.kill(os.getpid(), signal.SIGTERM)  # within a second: the same request
        time.sleep(0.1)
        assert signals.reason == signal.Signals(number).name
    assert signal.getsignal(number) is before
    assert signal.set_wakeup_fd(-1) == -1


SCRIPT = """
import hashlib
from dist_epochs.train.signals import StopSignals
with StopSignals(lambda reason: print(reason, flush=True)) as signals:
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2 * 10**8)  # one long call without the interpreter, as a collective is
"""


def test_a_second_signal_leaves_even_in_the_middle_of_a_long_call():
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=240)
    assert output == "SIGTERM, then SIGINT: left at once\n"
    assert process.returncode == 128 + signal.SIGINT
