"""Imports go down only, never sideways between packages of one layer."""

import ast
import re
from pathlib import Path

import pytest

import dist_epochs

ROOT = Path(dist_epochs.__file__).parent
LAYERS = {
    "errors": 0, "names": 0, "rules": 0, "terminal": 1, "usage": 2,
    "arithmetic": 1,
    "settings": 2, "runtime": 2,
    "recipe": 3, "ledger": 3, "frameworks": 3,
    "plan": 4, "integrations": 4,
    "corpus": 5, "tool_configs": 5,
    "audit": 6, "train": 6,
    "render": 7,
    "report": 8, "page": 8,
    "cli": 9,
    "__main__": 10,
}  # fmt: skip
STANDARD_ONLY = {"arithmetic", "ledger", "frameworks"}
HEAVY = {"torch", "transformers", "datasets", "numpy", "wandb", "tokenizers"}
WITHOUT = dict.fromkeys(("settings", "recipe", "plan", "tool_configs", "audit"), HEAVY)


def imports(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path):
    package = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if package == "__init__":
        return
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "dist_epochs" and len(parts) > 1 and parts[1] != package:
            assert LAYERS[parts[1]] < LAYERS[package], f"{package} (layer {LAYERS[package]}) imports {name}"
        if package in STANDARD_ONLY and parts[0] != "dist_epochs":
            assert parts[0] in __import__("sys").stdlib_module_names, f"{package} imports {name}"
        assert parts[0] not in WITHOUT.get(package, ()), f"{package} imports {name}"


def test_every_package_has_a_layer():
    packages = {path.name.removesuffix(".py") for path in ROOT.iterdir() if path.suffix in ("", ".py")}
    assert packages - {"__init__", "__pycache__", "data", "py.typed"} <= LAYERS.keys()


def test_the_table_in_contributing_shows_every_layer():
    contributing = (ROOT.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d) \| (.*?) \|", contributing, re.MULTILINE)
    shown = [(int(layer), name) for layer, names in rows for name in re.findall(r"(\w+)(?:/|\.py)", names)]
    assert {name: layer for layer, name in shown} == {
        name: layer for name, layer in LAYERS.items() if name != "__main__"
    }
    assert [layer for layer, _ in shown] == sorted((layer for layer, _ in shown), reverse=True)
