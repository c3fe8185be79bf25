"""`accelerate launch -m dist_epochs.train RECIPE --out RUN`, or `python -m dist_epochs.train` in one process."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from socket import gethostname

import click

from dist_epochs.errors import EXIT_INPUT, error_text
from dist_epochs.terminal import exit_on_input_error, show
from dist_epochs.train.command import resume_command
from dist_epochs.usage import Command


@click.command(cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Run directory to make.")
@click.option("--resume", is_flag=True, help="Resume the run in --out, or begin one if there is none.")
@click.option("--replan", is_flag=True, help="Like --resume, but the recipe may change the rest of the run.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a setting, e.g. batch.per_device=4."
)
@click.option("--verify", is_flag=True, help="Compare all digests of the store, even if they were compared before.")
def main(recipe: Path, out: Path, resume: bool, replan: bool, overrides: tuple[str, ...], verify: bool) -> None:
    """Train RECIPE and write the run directory."""
    speaks = os.environ.get("RANK", "0") == "0"
    # What is missing may be missing on this machine alone, and without it the others cannot be told.
    late = f"rank {os.environ['RANK']} ({gethostname()})" if os.environ.get("LOCAL_RANK") == "0" and not speaks else ""
    again = resume_command(sys.argv[1:], os.environ)
    try:
        with exit_on_input_error(speaks=speaks, late=late):
            from dist_epochs.runtime.meeting import Unheard
            from dist_epochs.runtime.peers import RanksDiffer
            from dist_epochs.runtime.process import process_began
            from dist_epochs.runtime.troubles import RankFailed
            from dist_epochs.train.checkpoints import NotFinite
            from dist_epochs.train.run import run_recipe
            from dist_epochs.train.watchdog import RankLost
        with exit_on_input_error(speaks=speaks):
            try:
                run_recipe(
                    recipe, out, overrides, resume=resume, replan=replan, verify=verify, again=again, say=show,
                    started=process_began(),
                )  # fmt: skip
            except Unheard as error:
                _leave(error_text(error), speaks=error.speaks, code=EXIT_INPUT)
            except RankFailed as error:
                _leave(f"error: {error}", speaks=speaks)
            except (NotFinite, RanksDiffer) as error:
                _leave(f"error: {error}; {out}/ledger.jsonl holds the run up to there", speaks=speaks)
            except RankLost as error:
                _leave(f"error: {error}", speaks=error.speaks)
    except KeyboardInterrupt:  # during training a signal asks for a checkpoint instead
        message = f"stopped before or after training, so there was nothing to save. Resume with: {again}"
        _leave(message, speaks=speaks, code=128 + signal.SIGINT)


def _leave(message: str, *, speaks: bool, code: int = 1) -> None:
    """End with the message. A launcher ends all ranks when the first exits, so the one that prints it exits first."""
    if speaks:
        show(message, err=True)
    else:
        time.sleep(1)
    raise SystemExit(code) from None


if __name__ == "__main__":
    main()
