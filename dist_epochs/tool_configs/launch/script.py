"""A launch script, read as the Accelerate configuration that starts the same processes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dist_epochs.settings.scalars import UnknownText
from dist_epochs.settings.section import Section, read_section
from dist_epochs.settings.slurm import gpus_of_a_node
from dist_epochs.settings.value import Located
from dist_epochs.tool_configs.accelerate_file import AccelerateFile
from dist_epochs.tool_configs.readers.accelerate import read_accelerate
from dist_epochs.tool_configs.script import Arguments, read_launching

__all__ = ["read_launch_script"]

KINDS = {
    "use_deepspeed": "DEEPSPEED", "use_fsdp": "FSDP", "use_megatron_lm": "MEGATRON_LM", "cpu": "MULTI_CPU",
    "multi_gpu": "MULTI_GPU",
}  # fmt: skip
"""Flags of `accelerate launch` that stand for a `distributed_type`."""
ACCELERATE_KEYS = (
    "num_processes", "num_machines", "machine_rank", "main_process_ip", "main_process_port", "mixed_precision",
    "gpu_ids",
)  # fmt: skip
"""Flags of `accelerate launch` that are keys of its configuration too, and go before them."""
COUNT = re.compile("[0-9]{1,15}")
COUNTS = {"torchrun": ("nproc_per_node", "nnodes"), "deepspeed": ("num_gpus", "num_nodes")}
"""Flags for the processes of a node and for the nodes."""


def read_launch_script(path: Path) -> AccelerateFile:
    """Read the command of a script that launches a run: torchrun, `accelerate launch`, deepspeed or srun.

    What only the running shell knows is left open.

    Raises:
        InputError: If the script cannot be read, none of its commands launches or several do, or a value cannot be
            used.
    """
    arguments = read_launching(path)
    if arguments.launcher == "accelerate":
        file = read_accelerate(_accelerate(path, arguments.launching))
    else:
        file = read_accelerate(replace(arguments.launching, values=dict(_keys(arguments))))
    tasks, nodes = (
        _count(Located(arguments.batch_system.get(name), file.top.origin)).value
        for name in ("ntasks_per_node", "nodes")
    )
    return replace(
        file,
        path=path,
        launcher=arguments.launcher,
        is_script=True,
        tasks=tasks if isinstance(tasks, int) else 1,
        nodes=nodes if isinstance(nodes, int) else None,
        on_all_nodes=arguments.on_all_nodes,
    )


def _accelerate(path: Path, flags: Section) -> Section:
    """The configuration that the command names, with its flags before the keys."""
    values: dict[str, Located] = {}
    name = flags.text("config_file")
    if name is not None:
        found = next((file for file in (Path(name.value), path.parent / name.value) if file.is_file()), None)
        if found is None:
            flags.refuse("config_file", "a file that is here, for its processes")
        values.update(read_section(found).values)
    values.update((key, _known(flags, key)) for key in ACCELERATE_KEYS if flags.states(key))
    if (address := values.get("main_process_ip")) is not None and address.value is None:  # known to the running shell
        values["main_process_ip"] = replace(address, value="ADDRESS")
    kind = next((kind for flag, kind in KINDS.items() if flags.states(flag)), None)
    if kind is not None:
        values["distributed_type"] = Located(kind, flags.origin)
    elif "distributed_type" not in values:  # several processes are several GPUs, where nothing else is said
        one = "num_processes" in values and values["num_processes"].value == 1
        values["distributed_type"] = Located("NO" if one else "MULTI_GPU", flags.origin)
    return replace(flags, values=values)


def _keys(arguments: Arguments) -> Iterator[tuple[str, Located]]:
    """Keys of a configuration that say what the flags of another launcher do."""
    flags, launcher = arguments.launching, arguments.launcher
    each, nodes = _counts(arguments)
    kind = {"deepspeed": "DEEPSPEED", "python": "NO"}.get(launcher, "MULTI_GPU")
    yield "distributed_type", Located(kind, flags.origin)
    if isinstance(nodes.value, int):
        yield "num_machines", nodes
        if isinstance(each.value, int):
            yield "num_processes", Located(each.value * nodes.value, each.origin)
    if launcher != "torchrun":
        return
    for flag, key in (("node_rank", "machine_rank"), ("rdzv_backend", "rdzv_backend")):
        if flags.states(flag):
            yield key, _known(flags, flag)
    address = next((key for key in ("standalone", "rdzv_endpoint", "master_addr") if flags.states(key)), None)
    if address is not None:
        known = _known(flags, address)
        host = "localhost" if address == "standalone" else str(known.value or "ADDRESS")
        yield "main_process_ip", Located(host.rpartition(":")[0] or host, known.origin)


def _counts(arguments: Arguments) -> tuple[Located, Located]:
    """The processes of a node, and the nodes; null for what is known at the launch only."""
    flags, asked = arguments.launching, arguments.batch_system
    if arguments.launcher == "srun":
        each = asked.get("ntasks_per_node") or gpus_of_a_node(asked)
        return _count(Located(each, flags.origin)), _count(Located(asked.get("nodes", "1"), flags.origin))
    each_of, nodes_of = COUNTS.get(arguments.launcher, ("", ""))
    unstated = Located(None if arguments.launcher == "deepspeed" else 1, flags.origin)  # it takes all that it finds
    return (
        _count(_known(flags, each_of)) if each_of in flags.values else unstated,
        _count(_known(flags, nodes_of)) if nodes_of in flags.values else Located(1, flags.origin),
    )


def _count(found: Located) -> Located:
    """A whole number; null for other words, such as `gpu` and `2:4`."""
    word = str(found.value)
    return replace(found, value=int(word) if COUNT.fullmatch(word) else None)


def _known(flags: Section, key: str) -> Located:
    """The value of a flag; null where only the running shell knows it."""
    found = flags.values[key]
    return replace(found, value=None) if isinstance(found.value, UnknownText) else found
