"""The wheel holds what the README promises to somebody who only installed it."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    from hatchling.builders.wheel import WheelBuilder

    folder = tmp_path_factory.mktemp("wheel")
    [path] = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    with zipfile.ZipFile(path) as archive:
        yield archive


def names_under(wheel, folder):
    return {name.removeprefix(folder) for name in wheel.namelist() if name.startswith(folder)}


def test_every_recipe_and_the_schema_are_in_it(wheel):
    assert names_under(wheel, "dist_epochs/configs/") == {path.name for path in (ROOT / "configs").iterdir()}


def test_launch_files_are_in_it_and_our_own_scripts_are_not(wheel):
    shipped = [*(ROOT / "launch").glob("*.yaml"), ROOT / "launch" / "slurm.sbatch"]
    assert names_under(wheel, "dist_epochs/launch/") == {path.name for path in shipped}


@pytest.mark.parametrize("folder", ["configs", "launch"])
def test_copies_are_the_files_of_the_repository(wheel, folder):
    for name in names_under(wheel, f"dist_epochs/{folder}/"):
        assert wheel.read(f"dist_epochs/{folder}/{name}") == (ROOT / folder / name).read_bytes()


def test_every_file_of_the_package_is_in_it(wheel):
    package = ROOT / "dist_epochs"
    files = {path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {path.relative_to(package).as_posix() for path in files} <= names_under(wheel, "dist_epochs/")


def test_nothing_lies_outside_the_package(wheel):
    assert {name.split("/")[0] for name in wheel.namelist()} == {"dist_epochs", information(wheel)}


def test_license_and_readme_are_in_it(wheel):
    assert wheel.read(f"{information(wheel)}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    metadata = wheel.read(f"{information(wheel)}/METADATA").decode()
    assert (ROOT / "README.md").read_text(encoding="utf-8") in metadata
    assert "License-File: LICENSE\n" in metadata


def test_an_installed_package_plans_a_shipped_recipe_by_name(wheel, tmp_path):
    wheel.extractall(tmp_path / "installed")
    done = subprocess.run(
        [sys.executable, "-m", "dist_epochs", "plan", "bert-base", "--json"],
        env=os.environ | {"PYTHONPATH": str(tmp_path / "installed")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["steps"] == 1_000_000


def information(wheel):
    [folder] = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    return folder
