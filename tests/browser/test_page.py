"""The page in a real browser: what it answers, what it asks the network for, whether everybody can use it.

`python -m pytest -m browser -s tests/browser` also prints how long the first answer and later ones take.
"""

from __future__ import annotations

import functools
import json
import shutil
import statistics
import subprocess
import sys
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlencode

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main
from dist_epochs.errors import InputError
from dist_epochs.page.pyodide import PYODIDE
from tests.browser.axe import axe_script, faults, find_browser
from tests.browser.chromium import Chromium

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

PANELS = ("solve", "plan", "audit", "explain", "command")

BERT = {"steps": "1M", "batch": "256x512", "corpus": "3.3B words", "tokens-per-word": "1"}
SENTENCE = "Trained for 1M steps of 256 sequences of 512 tokens each, about 40 epochs over 3.3 billion words."
STATES = {
    "solve": BERT,
    "plan": {"recipe": "bert-base", "devices": "8xH100", "price": "2.5"},
    "audit": {"text": SENTENCE},
    "explain": {"topic": "iteration", "examples": "20", "epochs": "3", "batch-size": "5"},
    "command": {"line": "audit bert"},
}

RECIPE = "corpus: {tokens: 10B}\nbatch: {global_batch: 1000}\nphases: [{steps: 5, sequence_length: 512}]\n"

LINES = """
solve --steps 1M --batch 256x512 --corpus '3.3B words' --tokens-per-word 1
solve --steps 1M --batch 256x512 --corpus '3.3B words'
solve --corpus "100 examples" --batch 5 --epochs 500
solve --corpus "100 examples" --batch 5 --epochs 500 --json
solve --steps 10 --batch 10 --corpus '100 samples' --epochs 2
solve --steps 10 --batch 10 --corpus '100 samples' --epochs 1
solve --tokens 300B --corpus 1T --epochs 3
solve --devices 8 --per-device 4 --global-batch 256
solve --devices 7 --per-device 4 --global-batch 256
solve --steps 2**16 --batch 256 --epochs 1/3
solve --steps 1e6 --batch 4Mi --corpus 1.4T\\ tokens
solve --steps 100만 --batch 256x512 --corpus '3.3B tokens'
solve --iterations 3
solve --steps
solve --steps -3
solve --steps ''
solve --help
plan bert-base
plan bert-base --devices 8xH100
plan bert-base --devices 8xH100 --json
plan bert-base --devices 7
plan bert-base --devices 8xH100 --price 2.5 --strict
plan gpt2-small llama-7b
plan llama-7b --sweep devices=512,1024
plan lama-7b
plan nowhere.yaml
plan mixture
plan --corpus "91 samples" --per-device 10 --devices 2 --epochs 10 --like all
plan --corpus "91 samples" --per-device 10 --devices 2 --epochs 10 --like keras
plan --batch 256x512 --steps 1M --corpus 3.3B\\ words
plan --batch 256x512 --steps 1M --corpus '3.3B tokens' --parameters 7B --devices 64xA100 --hours 3
plan --source 'wiki:4B tokens:10%' --source 'web:90B tokens:90%' --batch 4Mi\\ tokens --tokens 100B
plan bert-base --set batch.devices=0
plan bert-base --set name='x<b>y</b>'
plan --help
audit bert
audit bert --json
audit chipnemo
audit 'Trained for 1M steps of 256 sequences of 512 tokens each, about 40 epochs over 3.3 billion words.'
audit '100K steps of 0.5M tokens each, 50B tokens in all'
audit "<script>alert('1 step')</script> of 8 samples, 3 epochs"
audit --steps 1M --batch 256x512 --corpus '3.3B words' --epochs ~40
audit --steps 1M --batch 256x512 --corpus '3.3B words' --epochs 4
explain gradient-descent
explain not-counted
audit nothing-of-this-name
audit
explain
explain iteration --examples 20 --epochs 3
explain 에폭
explain mini-batch --examples 100 --epochs 500 --batch-size 7
explain itertion
explain mfu --json
sovle --steps 3
--version
""".strip().splitlines()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A browser on the page, which stands below a path of its host, and the address of it."""
    program = find_browser()
    try:
        archive = PYODIDE.fetch()
    except InputError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("browser")
    result = CliRunner().invoke(main, ["page", str(folder / "host" / "some" / "path"), "--pyodide", str(archive)])
    assert result.exit_code == 0, result.output
    with Host(folder / "host") as host:
        browser = Page(Chromium(program, folder), f"{host.address}some/path/")
        browser.folder = folder / "host" / "some" / "path"
        yield browser
        browser.chromium.close()


class Host:
    """A static web server on the loopback.

    Args:
        folder: What it serves.
        types: The types that it sends files as, by suffix, where they are not the right ones.
    """

    def __init__(self, folder, types=()):
        class Quiet(SimpleHTTPRequestHandler):
            extensions_map = {**SimpleHTTPRequestHandler.extensions_map, **dict(types)}  # noqa: RUF012

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
        self.address = f"http://127.0.0.1:{self.server.server_port}/"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Page:
    """The page as a test uses it."""

    def __init__(self, chromium, address):
        self.chromium, self.address = chromium, address
        begun = time.monotonic()
        self.show("solve", **BERT)
        self.cold = time.monotonic() - begun
        chromium.wait("document.documentElement.dataset.warm")

    def show(self, panel, **state):
        """Open a link with a state, and wait for its answer."""
        before = self.chromium.run(self.run_of(panel))
        self.chromium.open(f"{self.address}#{panel}")
        self.chromium.open(f"{self.address}#{panel}?{urlencode(state)}")
        self.chromium.wait(f"{self.run_of(panel)} !== {json.dumps(before)}")
        self.answered(panel)

    def run_of(self, panel):
        return f"(document.querySelector('#panel-{panel} .result')?.dataset.run ?? null)"

    def answered(self, panel):
        self.chromium.wait(
            f"(({{dataset}}) => dataset.answered && dataset.answered === dataset.run)"
            f"(document.querySelector('#panel-{panel} .result'))"
        )

    def text(self, panel, selector="pre"):
        return self.chromium.run(
            f"document.querySelector(`#panel-{panel} .result`).querySelector({selector!r})?.textContent"
        )

    def set(self, field, value):
        self.chromium.run(f"document.getElementById({field!r}).value = {json.dumps(value)}")

    def submit(self, panel):
        """Press the button of a form, and wait for the answer; its milliseconds."""
        self.chromium.run(f"document.querySelector('#panel-{panel} form').requestSubmit()")
        self.answered(panel)
        return float(self.chromium.run(f"document.querySelector('#panel-{panel} .result').dataset.milliseconds"))

    def fields(self, panel):
        """What stands in the fields of a form."""
        return self.chromium.run(
            f"Object.fromEntries([...document.querySelectorAll('#panel-{panel} [id][data-flag]')]"
            ".filter((each) => each.value).map((each) => [each.dataset.flag, each.value]))"
        )


def test_berts_epochs_are_solved(page):
    page.show("solve", **BERT)
    assert page.text("solve", ".verdict") == "epochs: 39.7188"
    assert "exactly 32768/825" in page.text("solve")
    unknown = page.chromium.run(
        "(({value, placeholder}) => [value, placeholder])(document.getElementById('solve-epochs'))"
    )
    assert unknown == ["", "39.7188"]


def test_a_hundred_examples_in_five_hundred_epochs(page):
    page.show("solve", batch="5", corpus="100 examples", epochs="500")
    assert page.text("solve", ".verdict") == "steps: 10,000"


def test_words_without_a_ratio_are_refused_as_in_the_shell(page):
    words = {name: text for name, text in BERT.items() if name != "tokens-per-word"}
    page.show("solve", **words)
    arguments = ["solve", *(part for name, text in words.items() for part in (f"--{name}", text))]
    assert page.text("solve") == CliRunner().invoke(main, arguments).output
    assert page.text("solve", ".verdict") is None


def test_a_shared_link_is_restored_in_a_new_page(page):
    state = {"recipe": "bert-base", "yaml": RECIPE, "epochs": "3", "more": "--set seed=7"}
    page.chromium.open("about:blank")
    page.chromium.wait("location.href === 'about:blank'")
    page.show("plan", **state)
    assert page.fields("plan") == {"epochs": "3"}
    for field in ("recipe", "yaml", "more"):
        assert page.chromium.run(f"document.getElementById('plan-{field}').value") == state[field]
    assert page.text("plan", ".command code") == "$ dist-epochs plan recipe.yaml --epochs 3 --set seed=7"
    assert page.text("plan", ".tiles dd").startswith("58,594")


def test_the_link_of_a_form_opens_the_same_answer(page):
    page.show("solve", **BERT)
    page.set("solve-steps", "2M")
    page.submit("solve")
    link = page.chromium.run("location.href")
    assert "steps=2M" in link
    page.show("explain", topic="mfu")
    page.chromium.run("history.go(-2)")
    page.chromium.wait(f"location.href === {link!r}")
    page.answered("solve")
    assert page.text("solve", ".verdict") == "epochs: 79.4376"


def test_a_pasted_sentence_is_judged(page):
    page.show("audit", text="x")
    page.set("audit-text", SENTENCE)
    page.submit("audit")
    assert page.text("audit", ".verdict") == "Consistent only if every step has length 512 and a word is one token"
    marks = page.chromium.run("[...document.querySelectorAll('#panel-audit mark')].map((each) => each.textContent)")
    assert marks == [
        "1M steps steps",
        "256 sequences global batch",
        "512 tokens sequence length",
        "about 40 epochs epochs",
        "3.3 billion words corpus",
    ]


def test_a_recipe_is_planned_and_changed(page):
    page.show("plan", recipe="bert-base", devices="8xH100")
    assert page.text("plan", ".command code") == "$ dist-epochs plan bert-base --devices 8xH100"
    assert page.text("plan", ".tiles dd").startswith("1,000,000")
    text = page.chromium.run("document.getElementById('plan-yaml').value")
    page.set("plan-yaml", f"{text}\nnonsense: 1\n")
    page.submit("plan")
    line = len(text.splitlines()) + 2
    assert page.text("plan").startswith(f"error: recipe.yaml:{line}: ")


def test_iterations_of_twenty_samples_are_drawn(page):
    page.show("explain", **STATES["explain"])
    counts = page.chromium.run(
        "[...document.querySelectorAll('.passes table')].map((each) =>"
        " [each.querySelectorAll('tr').length, each.querySelectorAll('.iteration').length,"
        " each.querySelectorAll('i').length])"
    )
    assert counts == [[3, 3, 60], [3, 60, 60], [3, 12, 60]]


@pytest.mark.parametrize("words", ["audit '{}' --write claim.yaml", "audit '{}' --html report.html"])
def test_files_are_written(page, words):
    page.show("command", line=words.format(SENTENCE))
    assert "CONSISTENT ONLY IF every step has length 512" in page.text("command")
    assert "Traceback" not in page.text("command")
    assert "error" not in page.text("command")


def test_what_a_link_holds_is_text(page):
    evil = "<img src=x onerror='window.broken=1'><script>window.broken=1</script> 5 steps"
    for panel, key in (("solve", "steps"), ("audit", "text"), ("explain", "topic"), ("command", "line")):
        page.show(panel, **{key: evil})
        assert page.chromium.run("window.broken ?? null") is None
        assert (
            page.chromium.run(f"document.querySelector('#panel-{panel} .result').querySelector('img, script')") is None
        )


def shell(words):
    """What a shell shows of a command, and its exit code. A runner of tests gives help other columns than a shell."""
    if "--help" not in words:
        found = CliRunner().invoke(main, words, prog_name="dist-epochs")
        return found.output, found.exit_code
    start = "import sys; from dist_epochs.cli.main import main; main(sys.argv[1:], 'dist-epochs')"
    done = subprocess.run([sys.executable, "-c", start, *words], capture_output=True, text=True, encoding="utf-8")
    return done.stdout + done.stderr, done.returncode


def test_fifty_command_lines_give_the_text_of_the_shell(page, tmp_path, monkeypatch):
    assert len(LINES) >= 50
    monkeypatch.chdir(tmp_path)
    split = "".join(f"printf '%s\\0' {line}; printf '\\1'\n" for line in LINES)
    words = subprocess.run(["bash", "-c", split], capture_output=True, text=True, encoding="utf-8", check=True).stdout
    page.show("command", line="--version")
    for line, arguments in zip(LINES, words.split("\0\1"), strict=False):
        text, status = shell(arguments.split("\0"))
        page.set("command-line", line)
        page.submit("command")
        code = page.chromium.run("Number(document.querySelector('#panel-command .result').dataset.code)")
        assert (line, page.text("command"), code) == (line, text, status)


@pytest.mark.parametrize("line", ["plan bert-base --exact", "audit hub:owner/name", "audit wandb:a/b/c"])
def test_what_needs_more_than_the_thin_base_says_so(page, line):
    page.show("command", line=line)
    assert "not installed" in page.text("command")


def test_it_asks_no_other_address_for_anything(page):
    for panel, state in STATES.items():
        page.show(panel, **state)
    page.show("command", line="audit hub:owner/name")
    assert [address for address in page.chromium.requests if not address.startswith((page.address, "data:"))] == []
    names = {address.removeprefix(page.address).split("?")[0].split("#")[0] for address in page.chromium.requests}
    assert {"", "page.js", "worker.js", "style.css", "packages.zip", "pyodide/pyodide.asm.wasm"} <= names
    assert not [message for message in page.chromium.messages if "rror" in message]


def test_a_form_is_used_by_keyboard(page):
    page.show("solve", **BERT)
    page.chromium.run("document.querySelector('#panel-solve .clear').click()")
    assert page.fields("solve") == {}
    page.chromium.run("document.getElementById('solve-steps').focus()")
    for text in ("", "5", "100 samples", "30"):
        page.chromium.type(text)
        page.chromium.press("Tab", 9)
    page.chromium.press("Enter", 13, "\r")
    page.answered("solve")
    assert page.fields("solve") == {"batch": "5", "corpus": "100 samples", "epochs": "30"}
    assert page.text("solve", ".verdict") == "steps: 600"
    assert page.chromium.run("document.getElementById('announcement').textContent") == "steps: 600"


def test_a_long_command_can_be_stopped(page):
    page.show("command", line="--version")
    page.set("command-line", f"plan bert-base --sweep batch.global_batch={','.join(map(str, range(8, 9000, 8)))}")
    page.chromium.run("document.querySelector('#panel-command form').requestSubmit()")
    stop = "[...document.querySelectorAll('#panel-command .result button')].find((each) => each.textContent === 'Stop')"
    page.chromium.wait(f"!!{stop}")
    page.chromium.run(f"{stop}.click()")
    page.answered("command")
    assert page.text("command", ".verdict") == "Stopped."
    page.show("solve", **BERT)
    assert page.text("solve", ".verdict") == "epochs: 39.7188"


@pytest.mark.parametrize("panel", PANELS)
def test_a_phone_needs_no_sideways_scrolling(page, panel):
    page.chromium.look(390, 844)
    page.show(panel, **STATES[panel])
    assert page.chromium.run("document.documentElement.scrollWidth") <= 390
    page.chromium.look(1100, 900)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_no_serious_fault(page, dark):
    script = axe_script()
    found = []
    for width in (1100, 390):
        page.chromium.look(width, 900, dark=dark)
        for panel in PANELS:
            page.show(panel, **STATES[panel])
            page.chromium.run("document.querySelectorAll('details').forEach((each) => (each.open = true))")
            found += [(panel, width, *fault) for fault in faults(page.chromium, script)]
    page.chromium.look(1100, 900)
    assert found == []


def test_answers_come_at_once(page):
    print(f"\nfirst answer {page.cold:.1f} s, later ones in milliseconds:")
    for panel, state in STATES.items():
        page.show(panel, **state)
        times = [page.submit(panel) for _ in range(20)]
        print(f"  {panel} {state} {statistics.median(times):.0f} [{min(times):.0f}..{max(times):.0f}]")
        assert statistics.median(times) < 2000
    assert page.cold < 60


def state_of(page, folder, types=()):
    """What the page says of itself on another host, once it says more than that it loads."""
    with Host(folder, types) as host:
        page.chromium.open("about:blank")
        page.chromium.open(host.address)
        page.chromium.wait(
            f"location.href.startsWith({host.address!r}) && "
            "['ready', 'failed'].includes(document.getElementById('state')?.dataset.state)"
        )
        return page.chromium.run("document.getElementById('state-text').textContent")


def test_a_host_that_knows_neither_modules_nor_webassembly(page):
    assert state_of(page, page.folder, {".wasm": "text/plain", ".mjs": "text/plain"}) == "Ready."


def test_what_keeps_python_from_loading_is_said(page, tmp_path):
    said = state_of(page, page.folder, {".js": "text/plain"})
    assert said == "Python could not be loaded: the host must send .js files as text/javascript"
    folder = tmp_path / "page"
    shutil.copytree(page.folder, folder)
    program = folder / "pyodide" / "pyodide.asm.wasm"
    program.write_bytes(program.read_bytes()[:100_000])
    assert "could not be loaded: WebAssembly" in state_of(page, folder)
    program.unlink()
    assert state_of(page, folder).endswith("pyodide.asm.wasm: 404")
