"""Options that commands share: `--json`, one object on standard output, and `--html FILE`, a report beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dist_epochs.terminal import show

if TYPE_CHECKING:
    from dist_epochs.report.html import Markup

__all__ = ["as_html", "as_json", "print_json", "write_html"]

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")

as_html = click.option(
    "--html", metavar="FILE", type=click.Path(path_type=Path), help="Write a report, too: one page that loads nothing."
)


def write_html(path: Path, page: Markup) -> None:
    """Write a report, and say where.

    Raises:
        OSError: If it cannot be written there.
    """
    from dist_epochs.runtime.files import refuse_no_folder, write_text

    refuse_no_folder(path)
    write_text(path, page)
    show(f"the report is in {path}", err=True)


def print_json(data: dict[str, Any]) -> None:
    """Print an object as JSON."""
    show(json.dumps(data, ensure_ascii=False, indent=1), as_json=True)
