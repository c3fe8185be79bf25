"""Reports in a real browser: they load nothing, everybody can use them, they fit a phone, and paper shows all of them.

The run was planned for two phases over three sources, was killed twice, skipped steps, and was evaluated.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main
from dist_epochs.ledger import writer
from tests.browser.axe import axe_script, faults, find_browser
from tests.browser.chromium import Chromium
from tests.ledger.simulated import BEGAN
from tests.report.test_reports import BERT
from tests.report.test_run_report import mixture_run

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

REPORTS = {
    "plan": ("plan", "bert-base", "--devices", "8xH100", "--price", "2.5"),
    "mixture": ("plan", "mixture"),
    "three plans": ("plan", "bert-base", "gpt2-small", "mixture"),
    "claim": ("audit", "bert"),
    "sentence": ("audit", BERT),
    "run": ("ledger", "{run}"),
}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = Chromium(find_browser(), tmp_path_factory.mktemp("browser"))
    found.page("Page.setBypassCSP", enabled=True)  # the check itself is a script, and reports have none
    yield found
    found.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A planned run of two phases over three sources that was killed twice, skipped steps, and was evaluated."""
    folder = tmp_path_factory.mktemp("run")
    now = SimpleNamespace(us=round(BEGAN * 1e6))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer.time, "time", lambda: now.us / 1e6)
        patch.setattr(writer.time, "perf_counter", lambda: now.us / 1e6)
        mixture_run(folder, now)
    return folder


@pytest.mark.parametrize("name", REPORTS)
def test_a_report(browser, run, tmp_path, name):
    script, path = axe_script(), tmp_path / "report.html"
    words = [word.format(run=run) for word in REPORTS[name]]
    assert CliRunner().invoke(main, [*words, "--html", str(path)]).exit_code == 0
    browser.requests.clear()
    found = []
    for width in (1100, 390):
        for dark in (False, True):
            browser.look(width, 900, dark=dark)
            browser.open(path.as_uri())
            browser.wait(f"location.href === {path.as_uri()!r} && document.readyState === 'complete'")
            browser.run("document.querySelectorAll('details').forEach((each) => (each.open = true))")
            found += [(width, dark, *fault) for fault in faults(browser, script)]
            assert browser.run("document.documentElement.scrollWidth") <= width, "it scrolls sideways"
    assert found == []
    assert set(browser.requests) == {path.as_uri()}


def test_tables_that_are_closed_are_printed(browser, run, tmp_path):
    path = tmp_path / "report.html"
    assert CliRunner().invoke(main, ["ledger", str(run), "--html", str(path)]).exit_code == 0
    browser.open(path.as_uri())
    browser.wait(f"location.href === {path.as_uri()!r} && document.readyState === 'complete'")
    shown = "[...document.querySelectorAll('details table')].map((each) => each.checkVisibility())"
    assert set(browser.run(shown)) == {False}
    browser.page("Emulation.setEmulatedMedia", media="print")
    printed = browser.run(shown)
    browser.page("Emulation.setEmulatedMedia", media="")
    assert set(printed) == {True}
