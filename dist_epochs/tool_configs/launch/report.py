"""The check of a launch: its findings and the command that works, also as JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dist_epochs.plan.plan import Plan
from dist_epochs.settings.document import Document
from dist_epochs.settings.located import read_text
from dist_epochs.tool_configs.launch.command import launch_command
from dist_epochs.tool_configs.launch.launch import Finding, Launch, plan_launch
from dist_epochs.tool_configs.launch.rules import check
from dist_epochs.tool_configs.launch.script import read_launch_script
from dist_epochs.tool_configs.readers.accelerate import read_accelerate_file
from dist_epochs.tool_configs.script import looks_like_script

__all__ = ["LaunchReport", "check_launch_file"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LaunchReport:
    """The result of checking a launch.

    Attributes:
        launch: The launch.
        findings: What was found; what goes wrong comes before the notes.
        command: The command that works once there are no findings; on the first machine, where there are several.
    """

    launch: Launch
    findings: tuple[Finding, ...]
    command: str

    @property
    def goes_wrong(self) -> bool:
        """Whether something will go wrong; notes do not count."""
        return any(not found.is_note for found in self.findings)

    def to_json(self) -> dict[str, Any]:
        """As `dist-epochs plan --launch FILE --json` has it beside the plan."""
        file = self.launch.file
        return {
            "file": str(file.path),
            "processes": file.processes,
            "machines": file.machines,
            "data_parallel_size": file.data_parallel_size,
            "command": self.command,
            "findings": [
                {"rule": f.rule, "where": str(f.where), "message": f.message, "fix": f.fix, "note": f.is_note}
                for f in self.findings
            ],
        }


def check_launch_file(
    file: Path, document: Document, recipe: Path | None, make: Callable[[Document], Plan]
) -> LaunchReport:
    """Check a launch before it costs anything.

    Args:
        file: An Accelerate configuration, or a script that launches: for Slurm, or with torchrun.
        document: The recipe, flags included.
        recipe: The recipe's file, for the command; None where flags alone are planned.
        make: Makes the plan of a document.

    Raises:
        InputError: If the file cannot be read, or the recipe cannot be planned.
    """
    read = read_launch_script if looks_like_script(file, read_text(file)) else read_accelerate_file
    launch = plan_launch(document, read(file), make)
    return LaunchReport(launch=launch, findings=check(launch), command=launch_command(launch, recipe))
