"""What the `#SBATCH` lines of a script ask Slurm for."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["asked_of_slurm", "gpus_of_a_node", "slurm_variables"]

_SBATCH = re.compile(
    r"^#SBATCH[ \t]+(?:--(?P<name>[\w-]+)(?:=|[ \t]+)|-(?P<letter>[A-Za-z])[ \t]*)(?P<value>[^\s#]+)", re.MULTILINE
)
_LETTERS = {"N": "nodes", "n": "ntasks"}
_GRES = re.compile(r"gpu(:\w+)?:(?P<count>[0-9]+)")


def asked_of_slurm(text: str) -> dict[str, str]:
    r"""What a script asks for, by long names with `_`.

    Examples:
        >>> asked_of_slurm("#SBATCH -N 2\n#SBATCH --gres=gpu:4\n")
        {'nodes': '2', 'gres': 'gpu:4'}
    """
    return {
        (found["name"] or _LETTERS.get(found["letter"], found["letter"])).replace("-", "_"): found["value"]
        for found in _SBATCH.finditer(text)
    }


def gpus_of_a_node(batch_system: Mapping[str, str]) -> str | None:
    """The GPUs of each node that `#SBATCH` lines ask for, without their type; None where they do not say.

    Examples:
        >>> gpus_of_a_node({"gpus_per_node": "a100:8"}), gpus_of_a_node({"gres": "gpu:4"})
        ('8', '4')
    """
    gres = _GRES.fullmatch(batch_system.get("gres", ""))
    return batch_system.get("gpus_per_node", "").rpartition(":")[2] or (gres["count"] if gres else None)


def slurm_variables(batch_system: dict[str, str]) -> dict[str, str]:
    """Variables that Slurm sets from what the script asks it for."""
    names = {
        "nodes": ("SLURM_NNODES", "SLURM_JOB_NUM_NODES"),
        "ntasks_per_node": ("SLURM_NTASKS_PER_NODE",),
        "gpus_per_node": ("SLURM_GPUS_PER_NODE",),
        "ntasks": ("SLURM_NTASKS", "SLURM_NPROCS"),
    }
    made = {name: batch_system[key] for key, names in names.items() if key in batch_system for name in names}
    gpus = gpus_of_a_node(batch_system)
    return made if gpus is None else {**made, "SLURM_GPUS_ON_NODE": gpus}
