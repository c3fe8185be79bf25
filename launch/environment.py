"""The environment that `launch/demo` and `launch/test` share: made once, healed if interrupted.

Standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv"
OLDEST = (3, 11)


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


def run(*command: str | Path, **environment: str) -> None:
    """Run a command in the environment, shown first; leave with its exit code if it fails."""
    shown = " ".join([*(f"{name}={value}" for name, value in environment.items()), *map(str, command)])
    print(f"\n$ {shown}", flush=True)
    around = dict(os.environ)
    around.pop("PYTHONDONTWRITEBYTECODE", None)  # packages are compiled on first use: let that be kept
    around["PATH"] = f"{FOLDER / 'bin'}{os.pathsep}{around['PATH']}"
    result = subprocess.run([*map(str, command)], cwd=ROOT, env=around | environment, check=False)
    if result.returncode:
        raise SystemExit(result.returncode)


def _install(interpreter: Path) -> None:
    keeps_torch = _has_own_torch()
    began = time.monotonic()
    print(
        f"making {FOLDER.relative_to(ROOT)}/ with {sys.executable} (once; about 1.5 GB and a minute or two)", flush=True
    )
    shutil.rmtree(FOLDER, ignore_errors=True)
    try:
        venv.create(FOLDER, with_pip=True, system_site_packages=keeps_torch)
    except subprocess.CalledProcessError:
        raise SystemExit(
            f"{sys.executable} cannot make virtual environments with pip (ensurepip is missing). On Debian and Ubuntu "
            "install python3-venv; or call this with another Python, such as: python3.12 launch/demo"
        ) from None
    pip = [str(interpreter), "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--no-compile"]
    if keeps_torch:
        print("this machine has a working torch; it is used as it is", flush=True)
    else:
        pip += ["--constraint", str(ROOT / "constraints.txt")]
    result = subprocess.run([*pip, "--editable", f"{ROOT}[dev]"], check=False)
    if result.returncode:
        raise SystemExit("the installation failed; call this again to go on once the cause is mended")
    _own_scripts(interpreter)
    print(f"installed in {time.monotonic() - began:.0f} s", flush=True)


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
