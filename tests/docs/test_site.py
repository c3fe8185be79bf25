"""The documentation builds as a site without a warning, and loads nothing from elsewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytest.importorskip("mkdocs", reason="the site needs pip install -e '.[docs]'")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return out


def test_pages_made_from_the_code(site):
    commands = (site / "reference/commands.html").read_text()
    assert "--sequence-length" in commands
    assert "Usage: dist-epochs audit" in commands
    assert "gradient_accumulation" in (site / "reference/recipe.html").read_text()
    assert 'id="words-as-tokens"' in (site / "reference/warnings.html").read_text()
    assert "LedgerCallback" in (site / "reference/python.html").read_text()


def test_files_that_pages_link_to_are_there(site):
    for page in site.rglob("*.html"):
        for target in re.findall(r'href="((?:\.\./)*files/[^"#]+)"', page.read_text()):
            assert (page.parent / target).resolve().is_file(), f"{page.name}: {target}"


def test_nothing_is_loaded_from_elsewhere(site):
    for page in site.rglob("*.html"):
        loaded = re.findall(r'<(?:script|img|link|iframe)[^>]*(?:src|href)="(https?:[^"]+)"', page.read_text())
        assert not [address for address in loaded if "rel=" not in address], page
