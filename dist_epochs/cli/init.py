"""`dist-epochs init`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dist_epochs.errors import InputError
from dist_epochs.terminal import show

if TYPE_CHECKING:
    from dist_epochs.plan.cost.hardware import Device
    from dist_epochs.plan.first_recipe import AtHand

USUAL_LENGTHS = {"masked": 512, "causal": 1024}
"""Positions of a sample, where no store is packed at any."""


@click.command(short_help="Write a recipe that fits a corpus and the devices at hand.")
@click.argument("corpus")
@click.option("--out", type=click.Path(path_type=Path), default=Path("recipe.yaml"), help="The recipe's file.")
@click.option("--devices", metavar="8xH100", help="Devices that it is for; default: those of this machine.")
@click.option("--sequence-length", metavar="512", help="Positions of a sample; default: the longest that is packed.")
@click.option("--objective", type=click.Choice(["masked", "causal"]), help="Default: masked, if there is a mask token.")
def command(corpus: str, out: Path, devices: str | None, sequence_length: str | None, objective: str | None) -> None:
    """Write a recipe to begin with, the reason for each choice beside it.

    CORPUS is a token store, or a size with its unit: '3.3B tokens'. The model is the largest of a few published sizes
    that the tokens can teach and the devices can hold.
    """
    from dist_epochs.plan.first_recipe import first_recipe
    from dist_epochs.runtime.files import refuse_existing, write_text

    refuse_existing(out, "--out, with another name")
    count, device = _devices(devices)
    at_hand = _at_hand(corpus, out, count, device, sequence_length, objective)
    write_text(out, first_recipe(at_hand, out.stem))
    show(f"{out} is written for {count} × {device.name if device else 'CPU'}. Next:")
    if "store" not in at_hand.corpus:
        show("  dist-epochs tokenize SOURCE --tokenizer T --out STORE --sequence-length "
             f"{at_hand.sequence_length}, and corpus.store: STORE in the recipe")  # fmt: skip
    show(f"  dist-epochs plan {out}")
    if "store" in at_hand.corpus:
        processes = f"accelerate launch --num_processes {count}" if count > 1 else "python"
        show(f"  {processes} -m dist_epochs.train {out} --out runs/{out.stem}")


def _devices(text: str | None) -> tuple[int, Device | None]:
    """How many devices, and their row of the table."""
    from dist_epochs.arithmetic.quantity import Unit, parse_count
    from dist_epochs.plan.cost.hardware import find_device
    from dist_epochs.recipe.flags import split_devices
    from dist_epochs.runtime.devices import devices_at_hand

    if text is not None:
        written, name = split_devices(text)
        return parse_count(written, unit=Unit.DEVICE, what="devices"), find_device(name) if name is not None else None
    count, name = devices_at_hand()
    try:
        return count, find_device(name) if name is not None else None
    except InputError as error:  # it can train all the same
        show(f"note {error.asked}", err=True)
        return count, None


def _at_hand(
    corpus: str, out: Path, count: int, device: Device | None, length: str | None, objective: str | None
) -> AtHand:
    """What the recipe is made for."""
    from dist_epochs.arithmetic.quantity import parse_length
    from dist_epochs.plan.first_recipe import AtHand

    facts, packed = _of_store(corpus, out) if Path(corpus).exists() else (_of_size(corpus), ())
    chosen = objective or facts["objective"]
    longest = packed[-1] if packed else USUAL_LENGTHS[chosen]
    return AtHand(
        **facts | {"objective": chosen},
        sequence_length=longest if length is None else parse_length(length),
        devices=count,
        device=device,
    )


def _of_store(corpus: str, out: Path) -> tuple[dict[str, Any], tuple[int, ...]]:
    """What a token store says, and the lengths that all its sources are packed at, shortest first.

    Of several strategies it is the first that they are packed by.
    """
    import os

    from dist_epochs.arithmetic.packings import BEST_FIT, PACKINGS
    from dist_epochs.corpus.stores.store import Store

    store = Store(Path(corpus))
    facts, tokenizer = store.facts(), store.tokenizer()
    packed = {
        packing: set.intersection(*(set(source.packed) for source in store.facts(packing).sources))
        for packing in PACKINGS
    }
    packing = next((name for name, lengths in packed.items() if lengths), BEST_FIT)
    stated = {"packing": packing} if packing != BEST_FIT else {}
    known = {
        "corpus": {"store": os.path.relpath(corpus, out.parent), **stated},
        "tokens": facts.tokens,
        "vocabulary": tokenizer.vocabulary_size,
        "objective": "causal" if tokenizer.role_id("mask_token") is None else "masked",
        "has_held_out": bool(store.sources(held_out=True)),
    }
    return known, tuple(sorted(packed[packing]))


def _of_size(corpus: str) -> dict[str, Any]:
    """What a size of a corpus says."""
    from dist_epochs.arithmetic.quantity import Unit, parse

    size = parse(corpus)
    if size.unit is not Unit.TOKEN:
        raise InputError(
            f"{corpus}: a first recipe needs the tokens of the corpus",
            rule="how many tokens a word has depends on the tokenizer",
            fixes=("a token store, which `dist-epochs tokenize` makes", "'4.1B tokens'"),
        )
    return {
        "corpus": {"tokens": corpus},
        "tokens": int(size.value),
        "vocabulary": None,
        "objective": "causal",
        "has_held_out": False,
    }
