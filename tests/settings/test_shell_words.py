"""Words of scripts: what a shell would make of them, where that can be known without running it."""

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dist_epochs.settings.shell_sums import whole_sum
from dist_epochs.settings.shell_words import read_commands


def words(text):
    """Words of the last command; unknown ones with a question mark before them."""
    command = read_commands(text)[-1]
    return [word.text if word.is_known else f"?{word.text}" for word in command.words]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("run --a 1 # --b 2", ["run", "--a", "1"]),
        ("run --a '1 # 2' \"x y\"", ["run", "--a", "1 # 2", "x y"]),
        ("run \\\n  --a 1 \\\n  --b 2", ["run", "--a", "1", "--b", "2"]),
        ("N=8\nrun --n $N --m ${N} --k=\"$N\"", ["run", "--n", "8", "--m", "8", "--k=8"]),
        ("N=8; M=$((N * 2 + $N)); run $M", ["run", "24"]),
        ("N=${N:-4}\nrun $N", ["run", "4"]),
        ("export N=4 M=5\nrun $N $M", ["run", "4", "5"]),
        ("A=(--x 1\n  --y 2 # no\n)\nA+=(--z 'a b')\nrun ${A[@]} last", ["run", "--x", "1", "--y", "2", "--z", "a", "b",
                                                                       "last"]),
        ("A=(--z 'a b')\nrun \"${A[@]}\"", ["run", "--z", "a b"]),
        ("O=\"--x 1 --y 2\"\nrun $O", ["run", "--x", "1", "--y", "2"]),
        ("O=\"--x 1\"\nO+=\" --y 2\"\nrun $O", ["run", "--x", "1", "--y", "2"]),
        ("O=\"\n  --x 1\n  --y 2\n\"\nrun $O", ["run", "--x", "1", "--y", "2"]),
        ("run $1 $(hostname) `date`", ["run", "?$1", "?$(hostname)", "?`date`"]),
        ("run ${X##*/} $UNSET", ["run", "?${X##*/}", "?$UNSET"]),
        ("if [ -z \"$1\" ]; then\n  N=2\nfi\nrun --n $N", ["run", "--n", "?$N"]),
        ("run --a 1 > log.txt 2>&1", ["run", "--a", "1"]),
        ("cd x && run --a 1 | tee log", ["tee", "log"]),
        ("N=4 run --n 1", ["run", "--n", "1"]),
        ("cat <<EOF > ds.json\n{\"a\": \"b}\nEOF\nrun --n 1", ["run", "--n", "1"]),
        ("cat <<- 'EOT'\n\trun '\n\tEOT\nrun --n 1", ["run", "--n", "1"]),
        ("A=(--x 1)\nif [[ -n $K ]]; then\n  A+=(--y 2)\nfi\nrun \"${A[@]}\"", ["run", "?$A"]),
        ("case $1 in\n  a) N=1 ;;\n  *) N=2 ;;\nesac\nM=3\nrun $N $M", ["run", "?$N", "3"]),
        ("for x in 1 2; do\n  N=4\n  run --n $N --x $x\ndone", ["run", "--n", "4", "--x", "?$x"]),
        ("go() {\n  run --n 1\n}\r\n", ["run", "--n", "1"]),
    ],
)  # fmt: skip
def test_words(text, expected):
    assert words(text) == expected


def test_what_stands_before_a_command_is_set_for_it_alone():
    first, second = read_commands("N=4 run --a 1\nrun --n $N")
    assert first.environment["N"].text == "4"
    assert not second.words[-1].is_known


def test_lines_and_defaults_are_kept():
    (command,) = read_commands("#!/bin/bash\n\nrun \\\n  --n ${N:-4} \\\n  --m 5\n")
    assert [(word.text, word.line) for word in command.words] == [
        ("run", 3), ("--n", 4), ("4", 4), ("--m", 5), ("5", 5),
    ]  # fmt: skip
    assert command.words[2].defaults == ("N",)


@settings(max_examples=300)
@given(text=st.text("ab $(){}[]\"'\\\n#=+-;&|<>`1@*:if do", max_size=60))
def test_any_text_gives_words(text):
    for command in read_commands(text):
        assert all(isinstance(word.text, str) for word in command.words)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@settings(max_examples=60, deadline=None)
@given(value=st.from_regex(r"[a-b1-3 ]{0,6}", fullmatch=True), line=st.from_regex(
    r"""([ab1\-]|\$N|"[ab $N]{0,3}"|'[ab $]{0,3}'| ){1,12}""", fullmatch=True))  # fmt: skip
def test_a_shell_makes_the_same_of_it(value, line):
    script = f"N='{value}'\nset -f; printf '<%s>' x {line}"
    shell = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False).stdout
    ours = read_commands(f"N='{value}'\nrun x {line}")[-1].words[1:]
    if all(word.is_known for word in ours):
        assert "".join(f"<{word.text}>" for word in ours) == shell


@settings(max_examples=200)
@given(text=st.text("0123456789+-*/() ", max_size=20))
def test_sums_are_python_s(text):
    found = whole_sum(text)
    if found is not None:
        assert found == eval(text.replace("/", "//").replace("////", "//"), {})


def test_variables_that_would_fill_the_memory():
    lines = ["A0=x", *(f"A{at}=$A{at - 1}$A{at - 1}" for at in range(1, 60)), "run $A3 $A59"]
    words = read_commands("\n".join(lines))[-1].words
    assert (words[1].text, words[1].is_known, words[2].is_known) == ("x" * 8, True, False)
    arrays = ["A=(a b)", *(['A=("${A[@]}" "${A[@]}")'] * 60), "run ${A[@]}"]
    assert not read_commands("\n".join(arrays))[-1].words[-1].is_known
