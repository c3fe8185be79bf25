"""`dist-epochs audit`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dist_epochs.cli.audit_output import Shown
from dist_epochs.cli.hub_runs import PREFIX as HUB
from dist_epochs.cli.hub_runs import fetch_repository
from dist_epochs.cli.output import as_html, as_json
from dist_epochs.cli.sections import SectionsCommand, add_flags
from dist_epochs.cli.sentences import (
    audit_flags,
    audit_sentence,
    audit_table,
    is_sentence,
    is_text_file,
    refuse_beside_table,
    refuse_flags,
    tell,
)
from dist_epochs.cli.wandb_runs import PREFIX as WANDB
from dist_epochs.cli.wandb_runs import fetch_run
from dist_epochs.errors import InputError, Origin
from dist_epochs.terminal import show

if TYPE_CHECKING:
    from dist_epochs.audit.records.record import FinishedRun
    from dist_epochs.audit.verdict import Audit

CLAIM_FILES = (".yaml", ".yml")

FLAGS = {
    "devices": ("8xA100", "Devices, with their kind for the utilization."),
    "per-device": ("2", "Samples per device and micro-step."),
    "gradient-accumulation": ("4", "Micro-steps per step."),
    "batch": ("256x512", "Of a claim without a RUN: samples × length of a step, samples, or tokens."),
    "global-batch": ("32", "Samples per step, over all devices."),
    "sequence-length": ("4096", "Positions per sample."),
    "tensor-parallel": ("2", "Devices that share each layer."),
    "pipeline-parallel": ("2", "Devices that share the stack of layers."),
    "context-parallel": ("2", "Devices that share each sequence."),
    "corpus": ("'698 samples'", "Size of the corpus with its unit."),
    "documents": ("7473", "Rows of the source, before packing."),
    "steps": ("66", "Optimizer steps made."),
    "samples": ("2094", "Samples drawn in all."),
    "tokens": ("300B", "Tokens drawn in all."),
    "epochs": ("3", "Times the corpus was drawn."),
    "model": ("llama-7b", "A size name, for the FLOPs of a token."),
    "parameters": ("7B", "Instead: the number of parameters, at 6 FLOPs each a token."),
    "precision": ("bf16", "fp32, bf16 or fp16: which peak of the device."),
    "peak-tflops": ("989", "Dense peak of a device, where the table has another or none."),
    "tokens-per-second": ("1.2M", "Throughput over all devices."),
    "hours": ("72", "Hours of the steps that were made."),
    "mfu": ("45%", "Model FLOPs utilization."),
}
"""What can be claimed of a finished run: an example, and what it is."""


@click.command(cls=SectionsCommand, short_help="Do the numbers of a paper or a finished run add up?")
@click.argument("name", metavar="[SENTENCE|NAME|FILE|RUN]", required=False)
@click.option("--write", metavar="CLAIM.yaml", help="Save what was understood of a sentence as a claim file.")
@click.option(
    "--table",
    metavar="TABLE.csv",
    help="Audit a table, CSV or Markdown: the shares, sizes and epochs of a mixture, or models, one a row.",
)
@click.option("--all", "every", is_flag=True, help="Audit all claims that come with the package.")
@click.option(
    "--many", metavar="LIST|FOLDER", help="Audit each run that a file lists, one a line, or that a folder holds."
)
@click.option("--full", is_flag=True, help="Show everything, not only what fits into 24 rows.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print Markdown for a review.")
@as_html
@as_json
def command(
    name: str | None,
    every: bool,
    write: str | None,
    table: str | None,
    many: str | None,
    full: bool,
    as_markdown: bool,
    html: Path | None,
    as_json: bool,
    **claimed: str | None,
) -> None:
    """Recompute what a paper states, or what was claimed of a finished run.

    SENTENCE is a text that states a budget, - for standard input, or a file of it (.txt, .md, .pdf). Flags without
    a RUN are such a claim, too: --steps 1M --batch 256x512 --corpus '3.3B words' --epochs ~40.

    NAME is a claim that comes with the package (bert), FILE a claim file. RUN is what a trainer left behind: a
    Hugging Face trainer_state.json, all_results.json, model card or console, or a folder of them; trainer_log.jsonl of
    LLaMA-Factory; a wandb file or folder; TensorBoard events; metrics.csv of Lightning; a text log of Megatron-LM,
    GPT-NeoX, NeMo 2, OLMo, nanoGPT, torchtitan or DeepSpeed; a run directory of ours; wandb:ENTITY/PROJECT/ID or
    hub:OWNER/NAME. Files may be packed (gz, xz, bz2, zst). Flags are claims about the RUN.

    --many gives one row a run, as CSV, or with --json as a line of JSON each. Of a damaged file it is its error.

    The verdict comes first, then the numbers that it turns on, with their arithmetic, in at most 24 rows; --full shows
    all, --markdown what a reviewer can paste. The verdict follows by rule from how the derived numbers agree with the
    stated ones. Exit code 1 means inconsistent; --all always ends with 0.
    """
    texts = {flag: text for flag, text in claimed.items() if text is not None}
    shown = Shown(as_json=as_json, as_markdown=as_markdown, full=full, html=html)
    if many is not None:
        _refuse_beside_many(
            name, every, {**texts, **dict.fromkeys(_given(full=full, markdown=as_markdown, html=html is not None), "")}
        )
        _table(many, as_json)
        return
    if table is not None:
        refuse_beside_table(name, every, write, texts)
        audit_table(table, texts.get("tokens"), shown)
        return
    if name is not None and not every and (is_sentence(name) or name.lower().endswith(".pdf")):
        refuse_flags(texts)
        tell(audit_sentence(name), shown, write)
        return
    if name is None and not every and texts:
        tell(audit_flags(texts), shown, write)
        return
    from dist_epochs.audit.collection import claim_names

    if every and name is not None:
        raise InputError(
            f"{name} and --all are given, and it is not clear which is meant",
            rule="--all audits every claim that comes with the package",
            fixes=[f"{name} alone", "--all alone"],
        )
    if not every and name is None:
        raise InputError(
            "nothing is named that could be audited",
            fixes=[
                "a sentence in quotes that states a budget, or a .txt, .md or .pdf file of it",
                "the path of a finished run: a folder, a log",
                "flags: --steps 1M --batch 256x512 --corpus '3.3B words' --epochs ~40",
                f"a claim that comes with the package, such as {' or '.join(claim_names()[3:4])}; --all audits them",
            ],
        )
    run = find_run(name) if name is not None and name not in claim_names() else None
    if run is None and name is not None and is_text_file(name):
        refuse_flags(texts)
        tell(audit_sentence(name), shown, write)
        return
    if write is not None:
        raise InputError(
            "--write saves the claim that a sentence states, and none is given", fixes="a sentence, or flags alone"
        )
    if texts and run is None:
        flags = ", ".join(f"--{flag.replace('_', '-')}" for flag in texts)
        raise InputError(
            f"{flags}: flags are claims about a finished run, and {name or '--all'} is not one",
            fixes="leaving them out",
        )
    if every:
        if html is not None:
            raise InputError("--html reports one audit, and --all are many", fixes="the name of a claim")
        shown.audits([_audit_claim(shipped) for shipped in claim_names()])
        return
    assert name is not None
    shown.audit(_audit_run(run, texts) if run is not None else _audit_claim(name))


add_flags(command, {"Claimed of a RUN": FLAGS})


def _given(**flags: bool) -> list[str]:
    return [flag for flag, is_given in flags.items() if is_given]


def _refuse_beside_many(name: str | None, every: bool, texts: Mapping[str, str]) -> None:
    given = [*([name] if name is not None else []), *(["--all"] if every else []), *(f"--{flag}" for flag in texts)]
    if given:
        raise InputError(
            f"--many and {', '.join(given)} are given, and it is not clear which is meant",
            rule="--many audits each run that it finds, with nothing claimed",
            fixes="one of them alone",
        )


def _table(place: str, as_json: bool) -> None:
    """One row a run, as soon as it is judged."""
    import csv
    import io
    import json

    from dist_epochs.audit.runs.many import COLUMNS, judge_many, runs_of

    if not as_json:
        show(",".join(COLUMNS))
    is_any = False
    for row in judge_many(runs_of(Path(place)), find_run):
        is_any = True
        if as_json:
            show(json.dumps(row, ensure_ascii=False), as_json=True)
            continue
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(row.values())
        show(line.getvalue())
    if not is_any:
        raise InputError(
            "there is nothing to audit in it",
            rule="--many takes a folder with files or runs, or a list of their paths, one a line",
            origin=Origin(place),
        )


def find_run(name: str) -> FinishedRun | None:
    """The finished run of a path or an address; None for what may be a claim."""
    if name.startswith(WANDB):
        return fetch_run(name)
    if name.startswith(HUB):
        return fetch_repository(name)
    path = Path(name)
    if re.match(r"https?://|arxiv:\S+|\d{4}\.\d{4,5}(v\d+)?$", name, re.IGNORECASE):
        raise InputError(
            f"{name} is on the network, and a paper is not fetched",
            fixes=("its PDF as a file: dist-epochs audit paper.pdf", "the sentence that states its budget, in quotes"),
        )
    if ("/" in name or path.suffix[1:].isalpha()) and not path.exists():
        raise InputError(
            "no such file or folder",
            rule="a run is given by the path of what its trainer wrote, a claim by its file or its name",
            fixes="dist-epochs audit --all, which lists the names",
            origin=Origin(name),
        )
    if not path.exists():
        return None
    if path.suffix in CLAIM_FILES:
        _refuse_settings(path)
        return None
    from dist_epochs.audit.detect.file import unknown
    from dist_epochs.audit.detect.folder import read_finished_run

    run = read_finished_run(path)
    if run is None and not _may_be_claim(path) and not is_text_file(name):
        _refuse_settings(path)
        error = unknown(path)
        table = (
            [f"dist-epochs audit --table {path}, if it is of a mixture or of models"] if path.suffix == ".csv" else []
        )
        raise error.but(fixes=(*table, *error.fixes))
    return run


def _refuse_settings(path: Path) -> None:
    """Refuse a configuration or a recipe, which says what is to be done, and nothing of what came out.

    Raises:
        InputError: If the file is one.
    """
    from dist_epochs.recipe.recipe import Recipe
    from dist_epochs.settings.document import Document
    from dist_epochs.tool_configs.detect import tool_of

    if not path.is_file() or _may_be_claim(path):
        return
    if (tool := tool_of(path)) is not None:
        raise InputError(
            f"this is {tool}, which says nothing of what came out",
            fixes=(f"dist-epochs plan --from {path}", "what the run wrote"),
            origin=Origin(str(path)),
        )
    try:
        keys = Document.read(path).data.keys()
    except InputError:
        return
    if "batch" in keys and keys <= {found.name for found in fields(Recipe)}:
        raise InputError(
            "this is a recipe, which states no result",
            fixes=(f"dist-epochs plan {path}", "adding a title and stated: what is to come out"),
            origin=Origin(str(path)),
        )


def _may_be_claim(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(4096)
    return b"title" in head or b"facts" in head


def _audit_run(run: FinishedRun, texts: Mapping[str, str]) -> Audit:
    from dist_epochs.audit.runs.claims import read_claims
    from dist_epochs.audit.runs.run_audit import audit_run

    if "batch" in texts:
        raise InputError(
            "--batch: a finished run has a batch of each kind",
            rule="--batch is for a claim without a run",
            fixes=("--global-batch, in samples", "--per-device"),
        )
    return audit_run(run, read_claims(texts))


def _audit_claim(name: str) -> Audit:
    from dist_epochs.audit.claim_audit import audit_claim
    from dist_epochs.audit.collection import find_claim

    return audit_claim(*find_claim(name))
