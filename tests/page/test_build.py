"""The folder of the page: what is in it, and what is left alone."""

import io
import json
import re
import subprocess
import sys
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main
from tests.page.test_npm import archive_of

ADDRESS = re.compile(r"""(?:src|href|url|from|fetch|import)\s*[=(:]?\s*["'(]?((?:https?:)?//[\w.]+)""")


def page(out, archive):
    return CliRunner().invoke(main, ["page", str(out), "--pyodide", str(archive)])


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return archive_of(tmp_path_factory.mktemp("npm") / "pyodide.tgz")


@pytest.fixture(scope="module")
def built(tmp_path_factory, archive):
    out = tmp_path_factory.mktemp("page") / "out"
    result = page(out, archive)
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="module")
def bundle(built):
    with zipfile.ZipFile(io.BytesIO((built / "packages.zip").read_bytes())) as archive:
        yield archive


class Elements(HTMLParser):
    """Every element of a page with its attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def of(self, *tags):
        return [attributes for tag, attributes in self.found if tag in tags]


@pytest.fixture(scope="module")
def elements(built):
    return Elements((built / "index.html").read_text(encoding="utf-8"))


def test_it_is_made_of_static_files(built):
    names = {path.relative_to(built).as_posix() for path in built.rglob("*") if path.is_file()}
    assert {"index.html", "page.js", "worker.js", "style.css", "packages.zip", "pyodide/pyodide.js"} <= names
    assert {name for name in names if name.startswith("pyodide/")} == {
        f"pyodide/{name}"
        for name in ("pyodide.js", "pyodide.asm.js", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json")
    }


def test_the_same_files_make_the_same_page(built, archive, tmp_path):
    assert page(tmp_path / "again", archive).exit_code == 0
    files = [path.relative_to(built) for path in built.rglob("*") if path.is_file()]
    assert [name for name in files if (tmp_path / "again" / name).read_bytes() != (built / name).read_bytes()] == []


def test_it_says_how_to_look_at_it(tmp_path, archive):
    result = page(tmp_path / "out", archive)
    assert f"python -m http.server --directory {tmp_path / 'out'}" in result.stdout
    assert "tested with Pyodide" in result.stderr  # the tiny archive is another version


@pytest.mark.parametrize("name", ["index.html", "page.js", "worker.js", "style.css"])
def test_nothing_in_it_names_another_address(built, name):
    text = (built / name).read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert ADDRESS.findall(text) == []
    assert not re.search(r"""(?:src|href)=["']/""", text), "addresses are relative, for any path of a host"


def test_the_policy_of_the_page_allows_no_other_address(elements):
    [policy] = [each["content"] for each in elements.of("meta") if each.get("http-equiv")]
    rules = dict(rule.split(maxsplit=1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == rules["style-src"] == rules["worker-src"] == "'self'"
    assert rules["script-src"] == "'self' 'wasm-unsafe-eval'"


def test_text_is_never_inserted_as_html(built):
    for name in ("page.js", "worker.js"):
        text = (built / name).read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", text)


def test_every_field_has_a_label_and_its_hint(elements):
    identifiers = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    labels = {label["for"] for label in elements.of("label")}
    for field in elements.of("input", "select", "textarea"):
        assert field["id"] in labels
        assert field.get("aria-describedby", field["id"]) in identifiers


@pytest.mark.parametrize("name", ["solve", "plan"])
def test_every_flag_with_a_value_has_a_field(elements, name):
    import click

    from dist_epochs.cli.main import COMMANDS

    assert name in COMMANDS
    command = main.get_command(click.Context(main), name)
    flags = {each["data-flag"] for each in elements.of("input", "select") if each.get("id", "").startswith(f"{name}-")
             and "data-flag" in each}  # fmt: skip
    known = {option.opts[0].removeprefix("--") for option in command.params if isinstance(option, click.Option)}
    assert flags <= known
    missing = known - flags
    assert missing <= {"json", "source", "replacement", "activation-checkpointing", "from", "launch", "set", "sweep",
                       "like", "exact", "verify", "strict", "html", "markdown", "csv"}  # fmt: skip


def test_it_knows_the_shipped_recipes_and_claims(built, elements):
    text = (built / "index.html").read_text(encoding="utf-8")
    recipes = json.loads(re.search(r'<script type="application/json" id="recipes">(.*?)</script>', text)[1])
    assert recipes["bert-base"] == Path("configs/bert-base.yaml").read_text(encoding="utf-8")
    values = {each.get("value") for each in elements.of("option")}
    assert {"bert-base", "bert", "albert"} <= values


def test_the_bundle_runs_by_itself(built, tmp_path):
    with zipfile.ZipFile(built / "packages.zip") as bundle:
        bundle.extractall(tmp_path / "packages")
    code = (
        "import json, sys; sys.path = [sys.argv[1], *(path for path in sys.path if 'packages' not in path)]\n"
        "from dist_epochs.cli.main import main\n"
        "from dist_epochs.page.session import Session\n"
        "print(Session(main).answer(json.dumps({'line': 'plan bert-base', 'view': True})))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, tmp_path / "packages"], capture_output=True, text=True, check=True
    )
    answer = json.loads(done.stdout)
    assert answer["code"] == 0
    assert ["steps", "1,000,000", "of 256 samples"] in answer["view"]["tiles"]


def test_the_bundle_is_python_alone(bundle):
    names = bundle.namelist()
    assert {name.split("/")[0] for name in names} == {"click", "yaml", "dist_epochs"}
    assert not [name for name in names if name.endswith((".so", ".pyc", ".pyd")) or "__pycache__" in name]
    assert "dist_epochs/configs/bert-base.yaml" in names


def test_an_earlier_page_is_replaced(built, archive, tmp_path):
    out = tmp_path / "out"
    assert page(out, archive).exit_code == 0
    (out / "old.js").write_text("")
    assert page(out, archive).exit_code == 0
    assert not (out / "old.js").exists()


@pytest.mark.parametrize("content", ["my own page", None])
def test_another_folder_is_left_alone(archive, tmp_path, content):
    out = tmp_path / "out"
    if content is None:
        out.write_text("a file")
    else:
        out.mkdir()
        (out / "index.html").write_text(content)
    result = page(out, archive)
    assert result.exit_code == 2
    assert f"error: {out}: the page is not written here" in result.stderr
    assert (out if content is None else out / "index.html").read_text() == (content or "a file")


def test_the_current_folder_is_not_replaced(archive, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for out in (".", tmp_path):
        assert page(out, archive).exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_link_to_a_folder_is_followed(archive, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert page(tmp_path / "link", archive).exit_code == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "index.html").is_file()


def test_what_is_no_archive_leaves_nothing(tmp_path):
    (tmp_path / "a.tgz").write_text("no archive")
    assert page(tmp_path / "out", tmp_path / "a.tgz").exit_code == 2
    assert not (tmp_path / "out").exists()
