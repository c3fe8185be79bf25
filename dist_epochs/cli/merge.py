"""`dist-epochs merge`."""

from __future__ import annotations

from pathlib import Path

import click

from dist_epochs.cli.output import as_json, print_json
from dist_epochs.terminal import show


@click.command(short_help="Put token stores together.")
@click.argument("stores", nargs=-1, required=True, metavar="STORE...", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the token store to write.")
@click.option(
    "--workers", type=click.IntRange(1, 4096), metavar="N", help="Processes that pack.  [default: the cores at hand]"
)
@as_json
def command(stores: tuple[Path, ...], out: Path, workers: int | None, as_json: bool) -> None:
    """Put token stores together to the one that a single `tokenize` of all their input, in this order, writes.

    Sources of one name become one, others stand side by side. The tokenizer, special tokens and the held-out share must
    be the same. Tokens are not copied where the file system can give a file a second name. The new store is packed at
    all lengths that any STORE is packed at.
    """
    from dist_epochs.cli.tokenize import counts_text
    from dist_epochs.corpus.tokenizing.merge import merge
    from dist_epochs.corpus.tokenizing.workers import cores_at_hand

    counts = merge(stores, out, workers=workers or cores_at_hand())
    if as_json:
        print_json(counts)
    else:
        show(counts_text(counts, out))
