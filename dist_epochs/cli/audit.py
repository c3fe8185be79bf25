"""`dist-epochs audit`."""

from __future__ import annotations

import click

from dist_epochs.cli.output import as_json, print_json
from dist_epochs.errors import EXIT_DISAGREES, InputError, exit_on_input_error


@click.command(short_help="Do the numbers of a paper add up?")
@click.argument("claim", required=False)
@click.option("--all", "every", is_flag=True, help="Audit all claims that come with the package.")
@as_json
def command(claim: str | None, every: bool, as_json: bool) -> None:
    """Recompute what a paper states: CLAIM is a name that comes with the package (bert), or a claim file.

    Each reading's arithmetic is shown. The verdict follows by rule from how the derived numbers agree with the
    stated ones. Exit code 1 means that CLAIM is inconsistent; --all always ends with 0.
    """
    with exit_on_input_error():
        from dist_epochs.audit.collection import claim_names, find_claim
        from dist_epochs.audit.verdict import Verdict, audit_claim
        from dist_epochs.render.audit import audit_text, audits_text

        if every == (claim is not None):
            raise InputError(f"name one claim, or --all. Claims: {', '.join(claim_names())}; or a claim file.")
        if every:
            audits = [audit_claim(*find_claim(name)) for name in claim_names()]
            if as_json:
                print_json({"claims": [audit.to_json() for audit in audits]})
            else:
                click.echo(audits_text(audits))
            return
        assert claim is not None
        audit = audit_claim(*find_claim(claim))
        print_json(audit.to_json()) if as_json else click.echo(audit_text(audit))
    if audit.verdict is Verdict.INCONSISTENT:
        raise SystemExit(EXIT_DISAGREES)
