"""The environment that `launch/demo` and `launch/test` share: made once, healed if interrupted.

Standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv"
OLDEST = (3, 11)
CPU_BUILDS = "https://download.pytorch.org/whl/cpu"
LAST_WORDS = 30.0
"""Seconds in which a command that hears Ctrl-C itself may end: pytest prints a summary."""
EXIT_INTERRUPTED = 128 + signal.SIGINT


def python() -> Path:
    """The environment's interpreter, with the package and its extras installed; made where it is missing."""
    if sys.version_info < OLDEST:
        raise SystemExit(f"Python {'.'.join(map(str, OLDEST))} or newer is needed; this is {sys.version.split()[0]}")
    stamp, wanted = FOLDER / "installed", _fingerprint()
    interpreter = FOLDER / "bin" / "python"
    if _is(stamp, wanted):
        return interpreter
    with _only_one():
        if not _is(stamp, wanted):
            _install(interpreter)
            stamp.write_text(wanted)
    return interpreter


def run(*command: str | Path, foreground: bool = False, **environment: str) -> None:
    """Run a command in the environment, shown first; leave with its exit code if it fails.

    Args:
        command: The command and its arguments.
        foreground: Whether the command itself answers Ctrl-C and reads the terminal, as pytest does. Others are ended
            by this script, together with everything they started.
        environment: Variables to set for it.
    """
    shown = " ".join([*(f"{name}={value}" for name, value in environment.items()), *map(str, command)])
    print(f"\n$ {shown}", flush=True)
    around = dict(os.environ)
    around.pop("PYTHONDONTWRITEBYTECODE", None)  # packages are compiled on first use: let that be kept
    around["PATH"] = f"{FOLDER / 'bin'}{os.pathsep}{around['PATH']}"
    if code := _call(*command, foreground=foreground, environment=around | environment):
        raise SystemExit(code)


@contextmanager
def two_lines_on_interrupt() -> Iterator[None]:
    """Ctrl-C, a hang-up or SIGTERM ends the script with two lines and no traceback."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        script = " ".join([os.path.relpath(sys.argv[0]), *sys.argv[1:]])
        print(f"\nstopped, and so is everything that it started\nto begin again: {script}", flush=True)
        raise SystemExit(EXIT_INTERRUPTED) from None


def _call(*command: str | Path, foreground: bool = False, environment: dict[str, str] | None = None) -> int:
    """The exit code of a command; interrupted, it takes what the command started along."""
    # In a group of its own it does not hear Ctrl-C: launchers answer it with a traceback.
    apart = {} if foreground else {"process_group": 0, "stdin": subprocess.DEVNULL}
    process = subprocess.Popen([*map(str, command)], cwd=ROOT, env=environment, **apart)
    try:
        return process.wait()
    except KeyboardInterrupt:
        try:
            process.wait(LAST_WORDS if foreground else 0)
        except subprocess.TimeoutExpired:
            _kill(process.pid)
            process.wait()
        raise


def _kill(ancestor: int) -> None:
    """Kill a process and all below it: a launcher's ranks are in sessions of their own and hear nothing of its end."""
    os.kill(ancestor, signal.SIGSTOP)  # so that it starts no more
    below: dict[int, list[int]] = {}
    for process, parent in _parents():
        below.setdefault(parent, []).append(process)
    doomed = [ancestor]
    for process in doomed:
        doomed += below.get(process, [])
    for process in doomed:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def _parents() -> Iterator[tuple[int, int]]:
    """Every process of the machine with its parent."""
    if Path("/proc/self/stat").exists():
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # it has ended meanwhile
                yield int(path.parent.name), int(path.read_text().rpartition(")")[2].split()[1])
    else:
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        for line in listed.splitlines():
            process, parent = line.split()
            yield int(process), int(parent)


def _install(interpreter: Path) -> None:
    keeps_torch = _has_own_torch()
    began = time.monotonic()
    print(f"making {FOLDER.relative_to(ROOT)}/ with {sys.executable}, once", flush=True)
    shutil.rmtree(FOLDER, ignore_errors=True)
    try:
        venv.create(FOLDER, with_pip=True, system_site_packages=keeps_torch)
    except subprocess.CalledProcessError:
        raise SystemExit(
            f"{sys.executable} cannot make virtual environments with pip (ensurepip is missing). On Debian and Ubuntu "
            "install python3-venv; or call this with another Python, such as: python3.12 launch/demo"
        ) from None
    pip = [str(interpreter), "-m", "pip", "--disable-pip-version-check"]
    install = [*pip, "install", "--quiet", "--no-compile"]
    if keeps_torch:
        print("this machine has a working torch; it is used as it is. About 0.2 GB to download", flush=True)
    else:
        install += ["--constraint", str(ROOT / "constraints.txt")]
        print(_size(platform.system(), _finds_cpu_build(pip)), flush=True)
    if _call(*install, "--editable", f"{ROOT}[dev]"):
        raise SystemExit("the installation failed; call this again to go on once the cause is mended")
    _own_scripts(interpreter)
    print(f"installed in {time.monotonic() - began:.0f} s", flush=True)


def _size(system: str, cpu_build: bool) -> str:
    """What will be downloaded where torch is missing: measured with torch 2.13.0 on 2026-11-27, all packages together.

    The index has one torch for a Linux, with CUDA (13.0, both on x86 and on ARM), and one without for a Mac.
    """
    if system != "Linux" or cpu_build:
        return "about 0.4 GB to download, 1.5 GB on the disk"
    script = os.path.relpath(sys.argv[0])
    return (
        "about 3 GB to download, 5.5 GB on the disk, nearly all of it torch for CUDA. Without a GPU, stop this "
        f"(Ctrl-C) and take the CPU build, 0.4 GB:\n  PIP_EXTRA_INDEX_URL={CPU_BUILDS} {script}"
    )


def _finds_cpu_build(pip: list[str]) -> bool:
    """Whether pip is set up to find the CPU build of our torch, which it prefers to the one of the same number."""
    pinned = re.search(r"^torch==(\S+)", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    found = subprocess.run([*pip, "index", "versions", "torch"], capture_output=True, text=True, check=False).stdout
    return pinned is not None and f"{pinned[1]}+cpu" in re.split(r"[,\s]+", found)


def _own_scripts(interpreter: Path) -> None:
    """A command that came with the machine's packages starts the machine's Python; ours must start this one."""
    for name, module in {"accelerate": "accelerate.commands.accelerate_cli"}.items():
        script = interpreter.with_name(name)
        if not script.exists():
            script.write_text(f"#!{interpreter}\nfrom {module} import main\n\nmain()\n")
            script.chmod(0o755)


def _has_own_torch() -> bool:
    """Whether the base interpreter has a torch that works; inside another environment it cannot be shared."""
    if sys.prefix != sys.base_prefix:
        return False
    return not subprocess.run(
        [sys.executable, "-c", "import torch; torch.ones(1) + 1"], capture_output=True, check=False
    ).returncode


def _fingerprint() -> str:
    decisive = [(ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt", "launch/environment.py")]
    return hashlib.sha256(b"\0".join([*decisive, sys.version.encode(), str(ROOT).encode()])).hexdigest()


def _is(stamp: Path, wanted: str) -> bool:
    return stamp.is_file() and stamp.read_text() == wanted


@contextmanager
def _only_one() -> Iterator[None]:
    """Two first calls at once: the second waits for the first."""
    with (ROOT / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
