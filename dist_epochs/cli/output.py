"""The option `--json`: one JSON object on standard output, and nothing else there."""

from __future__ import annotations

import json
from typing import Any

import click

from dist_epochs.terminal import show

__all__ = ["as_json", "print_json"]

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def print_json(data: dict[str, Any]) -> None:
    """Print an object as JSON."""
    show(json.dumps(data, ensure_ascii=False, indent=1), as_json=True)
