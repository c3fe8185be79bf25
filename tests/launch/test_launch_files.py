"""The launch files, read by Accelerate's own reader, and the shared environment."""

import importlib.util
import stat
import subprocess
from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file

ROOT = Path(__file__).parent.parent.parent
FILES = {"two-cpu-processes.yaml": (2, True), "eight-gpus.yaml": (8, False)}


@pytest.mark.parametrize(("name", "expected"), FILES.items())
def test_accelerate_reads_the_file(name, expected):
    config = load_config_from_file(str(ROOT / "launch" / name))
    assert (config.num_processes, config.use_cpu) == expected
    assert str(config.distributed_type.value) == "MULTI_GPU"  # MULTI_CPU starts a single process
    assert config.mixed_precision == "no"  # the recipe decides


def test_every_file_is_tested():
    assert {path.name for path in (ROOT / "launch").glob("*.yaml")} == set(FILES)


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
