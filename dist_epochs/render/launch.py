"""What will go wrong at a launch, as text: what happens, and the line or command that works."""

from __future__ import annotations

from dist_epochs.tool_configs.launch.command import is_batch_script
from dist_epochs.tool_configs.launch.report import LaunchReport

__all__ = ["launch_text"]


def launch_text(report: LaunchReport) -> str:
    """The launch below its plan, for a terminal."""
    file = report.launch.file
    count = "processes left open" if file.processes is None else _plural(file.processes, "process", "es")
    machines = _plural(file.machines, "machine", "s")
    size = "" if file.data_parallel_size is None else f", data-parallel size {file.data_parallel_size:,}"
    lines = [f"Launch of {count} on {machines}{size}: {file.path}", ""]
    for finding in report.findings:
        kind = "note" if finding.is_note else "finding"
        lines.append(f"{kind} {finding.rule}: {finding.where}: {finding.message}\n  → {finding.fix}")
    return "\n".join([*lines, *([""] if report.findings else []), _how_to_launch(report), f"  {report.command}"])


def _plural(count: int, noun: str, ending: str) -> str:
    return f"{count:,} {noun}{ending if count != 1 else ''}"


def _how_to_launch(report: LaunchReport) -> str:
    """How to launch; mpirun reaches the other machines from the first one, torchrun is started on each."""
    file = report.launch.file
    when = "Once that is settled, launch" if report.goes_wrong else "Launch"
    if file.machines == 1 or is_batch_script(file.path):
        return f"{when} with"
    if file.is_by_mpirun:
        return f"{when} once, on the first of {file.machines} machines, with"
    own = ", with its own --machine_rank" if not file.is_script else ", with"
    return f"{when} on each of {file.machines} machines{own}"
