"""A Slurm of two nodes on this machine, from the distribution's packages; everything it writes is in one folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
PLACES = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
REQUEUED_AFTER = 5
"""Seconds that a requeued job waits: the life of a step's credential, two minutes where nothing is said."""


def why_not() -> str | None:
    """Why there can be no Slurm here; None where there can."""
    missing = [name for name in DAEMONS if shutil.which(name, path=PLACES) is None]
    if missing:
        return f"{', '.join(missing)} missing (Debian: apt-get install slurm-wlm munge)"
    return None if os.geteuid() == 0 else "slurmd runs as root only"


class Slurm:
    """The commands of a running Slurm.

    Args:
        environment: The environment of every command, and of the jobs.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment

    def call(self, *command: str | Path, cwd: Path | None = None, **environment: str) -> str:
        """What a command of Slurm prints."""
        done = subprocess.run(
            [*map(str, command)], env={**self.environment, **environment}, cwd=cwd, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def submit(self, script: Path, **environment: str) -> str:
        """The number of a job, which runs in the folder of its script."""
        return self.call("sbatch", "--parsable", script, cwd=script.parent, **environment)

    def job(self, number: str) -> dict[str, str]:
        """The fields of `scontrol show job`."""
        words = self.call("scontrol", "--oneliner", "show", "job", number).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait_until_over(self, number: str, seconds: float = 240) -> dict[str, str]:
        """Wait until a job neither runs nor waits for its turn."""
        deadline = time.monotonic() + seconds
        while (job := self.job(number))["JobState"] in ("PENDING", "RUNNING", "COMPLETING", "REQUEUED"):
            assert time.monotonic() < deadline, job
            time.sleep(0.5)
        return job


@contextlib.contextmanager
def running_slurm(folder: Path) -> Iterator[Slurm]:
    """A Slurm with the nodes n1 and n2, until the block ends."""
    host, socket_path = socket.gethostname(), folder / "munge.socket"
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    folder.chmod(0o755)
    controller, *nodes = free_ports(3)
    (folder / "state").mkdir()
    configuration = folder / "slurm.conf"
    configuration.write_text(f"""
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmctldParameters=enable_configless
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={socket_path},cred_expire={REQUEUED_AFTER}
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
JobRequeue=1
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={nodes[0]} CPUs=2 RealMemory=2000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={nodes[1]} CPUs=2 RealMemory=2000
PartitionName=main Nodes=n1,n2 Default=YES State=UP
""")
    slurm = Slurm(os.environ | {"SLURM_CONF": str(configuration), "PATH": PLACES})
    try:
        slurm.call(
            "munged", f"--socket={socket_path}", f"--key-file={key}", f"--log-file={folder}/munged.log",
            f"--pid-file={folder}/munged.pid", f"--seed-file={folder}/munged.seed", "--force",
        )  # fmt: skip
        slurm.call("slurmctld", "-f", configuration)
        for name in ("n1", "n2"):
            (folder / f"spool.{name}").mkdir()
            slurm.call("slurmd", "-N", name, "-f", configuration)
        are_idle = _wait_until(lambda: "idle 2" in slurm.call("sinfo", "--noheader", "--format=%t %D"), 60)
        assert are_idle, (folder / "slurmctld.log").read_text()
        yield slurm
    finally:
        _stop(slurm, folder)


def _stop(slurm: Slurm, folder: Path) -> None:
    """Cancel all jobs, then end the daemons; munged last, without which the others cannot say that they are done."""
    with contextlib.suppress(AssertionError):
        slurm.call("scancel", "--user", "root")
        _wait_until(lambda: not slurm.call("squeue", "--noheader"), 40)
    for name in ("slurmd.n1", "slurmd.n2", "slurmctld", "munged"):
        with contextlib.suppress(OSError, ValueError):
            process = int((folder / f"{name}.pid").read_text())
            os.kill(process, signal.SIGTERM)
            if not _wait_until(partial(_has_ended, process), 20):
                os.kill(process, signal.SIGKILL)


def _has_ended(process: int) -> bool:
    """Whether a process is gone, or waits for a parent that never asks."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _wait_until(is_so: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not (found := is_so()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses at the moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
