"""Imports go down only, never sideways between rooms of one floor."""

import ast
from pathlib import Path

import pytest

import dist_epochs

ROOT = Path(dist_epochs.__file__).parent
FLOORS = {
    "errors": 0, "pages": 0, "arithmetic": 1, "plan": 2, "words": 2, "runtime": 2, "corpus": 3, "ledger": 3, "audit": 4, "train": 4, "integrations": 4,
    "render": 5, "cli": 6,
}  # fmt: skip
STANDARD_ONLY = {"arithmetic", "ledger", "words"}
HEAVY = {"torch", "transformers", "datasets", "numpy", "wandb", "tokenizers"}
WITHOUT = {"audit": HEAVY, "plan": HEAVY}


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
    room = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if room == "__init__":
        return
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "dist_epochs" and len(parts) > 1 and parts[1] != room:
            assert FLOORS[parts[1]] < FLOORS[room], f"{room} (floor {FLOORS[room]}) imports {name}"
        if room in STANDARD_ONLY and parts[0] != "dist_epochs":
            assert parts[0] in __import__("sys").stdlib_module_names, f"{room} imports {name}"
        assert parts[0] not in WITHOUT.get(room, ()), f"{room} imports {name}"


def test_every_room_is_on_a_floor():
    rooms = {path.name.removesuffix(".py") for path in ROOT.iterdir() if path.suffix in ("", ".py")}
    assert rooms - {"__init__", "__pycache__", "data", "py.typed"} <= FLOORS.keys()
