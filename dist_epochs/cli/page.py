"""`dist-epochs page`."""

from __future__ import annotations

from pathlib import Path

import click

from dist_epochs.terminal import show


@click.command(short_help="Write a web page on which solve, plan, audit and explain run, without a server.")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--pyodide", "archive", metavar="FILE", type=click.Path(path_type=Path),
    help="Pyodide's npm archive (npm pack pyodide), where there is no network.",
)  # fmt: skip
def command(out: Path, archive: Path | None) -> None:
    """Write one static web page into the folder OUT, on which solve, plan, audit and explain run in the browser.

    The page is this package itself in Pyodide: it needs no server that computes, no account and no other address, and
    works below any path of a static host. An earlier page in OUT is replaced.

    Pyodide is fetched once from the npm registry, checked against its digest, and kept in the user's cache.
    """
    from dist_epochs.cli.main import main
    from dist_epochs.cli.plan_flags import FLAGS
    from dist_epochs.cli.solve import NUMBERS
    from dist_epochs.page.build import build_page
    from dist_epochs.page.pyodide import PYODIDE, read_pyodide

    pyodide = read_pyodide(PYODIDE.fetch() if archive is None else archive)
    main_fields = ("steps", "batch", "corpus", "epochs", "tokens-per-word")
    flags = {
        "solve": {"Factors of the batch, and totals": tuple(name for name in NUMBERS if name not in main_fields)},
        "plan": {title: tuple(section) for title, section in FLAGS.items()},
    }
    built = build_page(out, pyodide, main, flags)
    show(f"{out}: {built.files} files, {built.size / 10**6:.1f} MB, with Pyodide {pyodide.version}")
    if pyodide.version != PYODIDE.version:
        show(f"note this package is tested with Pyodide {PYODIDE.version}", err=True)
    show(f"It needs a web server, any static one:\n  python -m http.server --directory {out}")
