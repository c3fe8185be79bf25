"""axe-core, which finds what keeps people from using a page; and the browsers that may be installed."""

from __future__ import annotations

import shutil

import pytest

from dist_epochs.errors import InputError
from dist_epochs.page.npm import NpmArchive, read_members
from tests.browser.chromium import Chromium

AXE = NpmArchive(
    "axe-core",
    "4.14.1",
    "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
)
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def find_browser() -> str:
    """The program, or the test is skipped."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"none of {', '.join(PROGRAMS)} is installed")
    return program


def axe_script() -> str:
    """What is to run in the page, or the test is skipped."""
    try:
        return read_members(AXE.fetch(), ["axe.min.js"])["axe.min.js"].decode()
    except InputError as error:
        pytest.skip(str(error))


def faults(browser: Chromium, script: str) -> list[list[str]]:
    """Name, weight, element and explanation of each fault of the page that is shown, the minor ones left out."""
    browser.run(f"{script}; 0")
    found = browser.run("axe.run().then(({violations}) => violations.map(({id, impact, nodes}) =>"
                        " [id, impact, nodes[0].html, nodes[0].failureSummary]))")  # fmt: skip
    assert isinstance(found, list)
    return [fault for fault in found if fault[1] in ("serious", "critical", "moderate")]
