"""The launch files, read by Accelerate's own reader, and the shared environment."""

import importlib.util
import os
import platform
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file

from tests.tool_configs.conftest import report
from tests.tool_configs.launch.test_rules import TRAINABLE

ROOT = Path(__file__).parent.parent.parent
FILES = {
    "one-gpu.yaml": ("NO", 1, 1, False),
    "two-cpu-processes.yaml": ("MULTI_GPU", 2, 1, True),  # MULTI_CPU starts a single process
    "eight-gpus.yaml": ("MULTI_GPU", 8, 1, False),
    "fsdp2.yaml": ("FSDP", 8, 1, False),
    "two-nodes.yaml": ("MULTI_GPU", 16, 2, False),
}
"""What Accelerate reads: kind, processes of all machines, machines, and whether on the CPU."""


@pytest.mark.parametrize(("name", "expected"), FILES.items())
def test_accelerate_reads_the_file(name, expected):
    config = load_config_from_file(str(ROOT / "launch" / name))
    kind, processes = str(config.distributed_type.value), config.num_processes
    assert (kind, processes, config.num_machines, config.use_cpu) == expected
    assert config.mixed_precision == "no"  # the recipe decides
    assert config.fsdp_config == ({"fsdp_version": 2} if kind == "FSDP" else {})


def test_every_file_is_tested():
    assert {path.name for path in (ROOT / "launch").glob("*.yaml")} == set(FILES)


@pytest.mark.parametrize("name", [*FILES, "slurm.sbatch"])
def test_nothing_is_wrong_with_a_file_beside_a_recipe_that_fits(name):
    processes = FILES[name][1] if name in FILES else 16
    settings = [*TRAINABLE, f"hardware.zero_stage={3 * (name == 'fsdp2.yaml')}"]
    made = report(ROOT / "launch" / name, settings, devices=processes)
    assert made.launch.file.processes == processes
    assert not made.goes_wrong
    assert name in made.command


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_every_recipe_can_be_read(path):
    from dist_epochs.recipe import read_recipe

    assert read_recipe(path).name == yaml.safe_load(path.read_text())["name"]


@pytest.mark.parametrize("script", ["launch/demo", "launch/test", ".ci/run"])
def test_scripts_can_be_called(script):
    assert (ROOT / script).stat().st_mode & stat.S_IXUSR


def load_environment():
    spec = importlib.util.spec_from_file_location("environment", ROOT / "launch" / "environment.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """The environment module with its installation replaced by a fake that can be interrupted."""
    module = load_environment()
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "FOLDER", tmp_path / ".venv")
    for name in ("pyproject.toml", "constraints.txt", "launch/environment.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    module.calls = []

    def install(interpreter):
        module.calls.append(interpreter)
        interpreter.parent.mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(module, "_install", install)
    return module


def test_the_environment_is_made_once(environment, tmp_path):
    assert environment.python() == environment.python() == tmp_path / ".venv" / "bin" / "python"
    assert len(environment.calls) == 1
    (tmp_path / "pyproject.toml").write_text("another dependency")
    environment.python()
    assert len(environment.calls) == 2


def test_an_interrupted_installation_is_made_again(environment, monkeypatch):
    whole = environment._install

    def interrupted(interpreter):
        whole(interpreter)
        raise KeyboardInterrupt

    monkeypatch.setattr(environment, "_install", interrupted)
    with pytest.raises(KeyboardInterrupt):
        environment.python()
    monkeypatch.setattr(environment, "_install", whole)
    environment.python()
    assert len(environment.calls) == 2


def test_a_python_without_ensurepip_is_told(monkeypatch, tmp_path):
    module = load_environment()
    monkeypatch.setattr(module, "FOLDER", tmp_path / ".venv")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "_has_own_torch", lambda: False)

    def fails(*_, **__):
        raise subprocess.CalledProcessError(1, "ensurepip")

    monkeypatch.setattr(module.venv, "create", fails)
    with pytest.raises(SystemExit, match="install python3-venv"):
        module._install(tmp_path / ".venv" / "bin" / "python")


def test_commands_start_the_environment_s_python(tmp_path):
    module = load_environment()
    module._own_scripts(tmp_path / "python")
    assert (tmp_path / "accelerate").read_text().startswith(f"#!{tmp_path}/python\nfrom accelerate.commands")
    assert (tmp_path / "accelerate").stat().st_mode & stat.S_IXUSR
    (tmp_path / "accelerate").write_text("installed")
    module._own_scripts(tmp_path / "python")
    assert (tmp_path / "accelerate").read_text() == "installed"


def test_commands_are_shown_and_their_exit_code_kept(environment, capfd):
    with pytest.raises(SystemExit) as stop:
        environment.run("sh", "-c", 'echo "$GREETING"; exit 7', GREETING="hello")
    assert stop.value.code == 7
    shown = capfd.readouterr().out
    assert "$ GREETING=hello sh -c" in shown
    assert "\nhello\n" in shown


def test_old_interpreters_are_told(environment, monkeypatch):
    monkeypatch.setattr(environment.sys, "version_info", (3, 10, 1))
    with pytest.raises(SystemExit, match=r"Python 3\.11 or newer is needed"):
        environment.python()


def test_a_torch_inside_another_environment_is_not_shared(environment, monkeypatch):
    monkeypatch.setattr(environment.sys, "prefix", "/somewhere/else")
    assert environment._has_own_torch() is False


BELOW = "import os, time; print(os.getpid(), flush=True); time.sleep(300)"
LAUNCHER = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BELOW!r}], start_new_session=True)"
SCRIPT = f"""
import sys
sys.argv[0] = "launch/demo"
from environment import run, two_lines_on_interrupt
with two_lines_on_interrupt():
    run(sys.executable, "-c", {LAUNCHER!r})
"""


@pytest.fixture
def demo():
    """A script whose command has started another process, in a session of its own as launchers start ranks."""
    script = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        env=os.environ | {"PYTHONPATH": str(ROOT / "launch")},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not (line := script.stdout.readline().strip()).isdigit():
        assert script.poll() is None, line
    yield script, int(line)
    script.kill()


def is_running(process):
    stat = Path(f"/proc/{process}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(platform.system() != "Linux", reason="looks at /proc")
@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_leaves_two_lines_and_no_process(demo, signal_number):
    script, rank = demo
    assert is_running(rank)
    os.killpg(script.pid, signal_number)  # as a terminal does: to the whole group
    out, errors = script.communicate(timeout=60)
    assert out.strip().splitlines() == ["stopped, and so is everything that it started", "to begin again: launch/demo"]
    assert errors == ""
    assert script.returncode == 128 + signal.SIGINT
    for _ in range(100):
        if not is_running(rank):
            return
        time.sleep(0.05)
    pytest.fail("a process was left")


@pytest.mark.skipif(shutil.which("ps") is None, reason="needs ps")
def test_processes_are_listed_without_proc_too(environment, monkeypatch):
    monkeypatch.setattr(environment.Path, "exists", lambda path: False)
    assert (os.getpid(), os.getppid()) in set(environment._parents())


@pytest.mark.parametrize(
    ("system", "cpu_build", "download"),
    [("Linux", False, "about 3 GB"), ("Linux", True, "about 0.4 GB"), ("Darwin", False, "about 0.4 GB")],
)
def test_the_size_is_that_of_the_torch_for_the_platform(system, cpu_build, download):
    told = load_environment()._size(system, cpu_build)
    assert told.startswith(f"{download} to download")
    assert ("PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu" in told) == (download == "about 3 GB")


@pytest.mark.parametrize(
    ("versions", "found"), [("2.13.0+cpu, 2.13.0", True), ("2.14.0+cpu, 2.13.0", False), ("", False)]
)
def test_pip_is_asked_for_a_cpu_build(environment, tmp_path, versions, found):
    (tmp_path / "constraints.txt").write_text("# a comment\ntorch==2.13.0\n")
    pip = [sys.executable, "-c", f"print('torch (2.14.0)', 'Available versions: {versions}', sep=chr(10))"]
    assert environment._finds_cpu_build(pip) is found
