"""`dist-epochs solve`."""

from __future__ import annotations

import click

from dist_epochs.cli.output import as_json, print_json
from dist_epochs.errors import EXIT_DISAGREES, InputError, Origin
from dist_epochs.terminal import show

NUMBERS = {
    "steps": ("1M", "Optimizer steps."),
    "batch": ("256x512", "What a step draws: samples × length, '128000 tokens', or samples."),
    "corpus": ("'3.3B words'", "Size of the corpus, with its unit."),
    "epochs": ("40", "Times the corpus is drawn."),
    "tokens-per-word": ("1.24", "Tokens for one word of a corpus given in words."),
    "devices": ("8", "Data-parallel devices."),
    "per-device": ("8", "Samples per device and micro-step."),
    "gradient-accumulation": ("4", "Micro-steps per step."),
    "global-batch": ("256", "Samples per step."),
    "sequence-length": ("512", "Positions per sample."),
    "tokens": ("300B", "Tokens drawn in all."),
    "samples": ("256M", "Samples drawn in all."),
}


@click.command(short_help="Find the missing one of steps × batch = corpus × epochs.")
@as_json
def command(as_json: bool, **texts: str | None) -> None:
    """Find the missing one of steps × batch = corpus × epochs, or check that all agree.

    Leave out what you look for: steps, batch, corpus, epochs, or a factor of the batch. Numbers are
    written 1M, 3.3B words, 256x512, 2**16, 90k, 1/3 or 90%.

    Exit code 1 means that the numbers contradict each other.
    """
    from dist_epochs.arithmetic.identity import Given, solve
    from dist_epochs.arithmetic.quantity import Unit, parse, refuse_points_in_a_count
    from dist_epochs.render.solution import solution_json, solution_text

    units = {"steps": Unit.STEP, "epochs": Unit.EPOCH, "devices": Unit.DEVICE, "per_device": Unit.SAMPLE,
             "global_batch": Unit.SAMPLE, "tokens": Unit.TOKEN, "samples": Unit.SAMPLE}  # fmt: skip
    per = {"steps": (Unit.EPOCH,), "tokens": (Unit.STEP, Unit.EPOCH), "samples": (Unit.STEP, Unit.EPOCH),
           "batch": (Unit.STEP,), "global_batch": (Unit.STEP,), "per_device": (Unit.DEVICE,),
           "gradient_accumulation": (Unit.STEP,), "sequence_length": (Unit.SAMPLE,),
           "tokens_per_word": (Unit.WORD,)}  # fmt: skip
    given = {}
    for name, text in texts.items():
        if text is not None:
            what = f"--{name.replace('_', '-')}"
            given[name] = parse(text, unit=units.get(name), per=per.get(name, ()), what=what)
            if name in ("batch", "gradient_accumulation", "sequence_length"):
                refuse_points_in_a_count(text, what)
            if name in ("tokens_per_word", "gradient_accumulation") and given[name].unit:
                asked = f"{text!r} counts {given[name].unit}s"
                raise InputError(asked, rule="it must be a plain number", origin=Origin(what))
            if name == "sequence_length" and given[name].unit not in (None, Unit.POSITION, Unit.TOKEN):
                asked = f"{text!r} counts {given[name].unit}s"
                raise InputError(asked, rule="it must count positions", origin=Origin(what))
    solution = solve(Given(**given))
    if as_json:
        print_json(solution_json(solution))
    else:
        show(solution_text(solution))
    if solution.agreement == "contradicts":
        raise SystemExit(EXIT_DISAGREES)


for _name, (_example, _help) in reversed(NUMBERS.items()):
    command.params.insert(0, click.Option([f"--{_name}"], metavar=_example, help=_help))
