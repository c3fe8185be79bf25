"""Claims as papers print them, each with the verdict that a careful reader comes to."""

from fractions import Fraction
from pathlib import Path

import pytest

from dist_epochs.audit.claim_audit import audit_claim
from dist_epochs.audit.collection import find_claim, read_claim
from dist_epochs.errors import InputError, Origin
from dist_epochs.render.audit import audit_text

CLAIMS = Path(__file__).parent / "claims"


def shipped(name):
    return audit_claim(*find_claim(str(CLAIMS / f"{name}.yaml")))


@pytest.fixture
def audit(tmp_path):
    def made(text):
        path = tmp_path / "c.yaml"
        path.write_text(f"title: x\n{text}\n")
        return audit_claim("c", read_claim(path))

    return made


@pytest.fixture
def refused(audit):
    def error(text):
        with pytest.raises(InputError) as caught:
            audit(text)
        return caught.value

    return error


def of(formula, stated, facts="x: 1", name="a"):
    return f"facts: {{{facts}}}\nchecks: {{{name}: {{formula: {formula}, stated: {stated}}}}}"


@pytest.mark.parametrize(
    ("name", "verdict", "only_if", "derived", "agreement"),
    [
        ("about-two", "inconsistent", None, 1.1, "contradicts"),
        ("about-with-zeros", "consistent-only-if", "4,000 is rounded to one or two digits", 3936, "contradicts"),
        ("digits-of-a-ramp", "inconsistent", None, 91_720, "contradicts"),
        ("between", "inconsistent", None, 3.29, "contradicts"),
        ("whole-steps", "consistent", None, 1_430_511.47, "rounds"),
        ("samples-for-steps", "inconsistent", None, 3.2e9 * 32_768, "contradicts"),
        ("days-for-hours", "consistent", None, 72.82, "rounds"),
        ("binary-prefix", "inconsistent", None, 250_000 * 2**20, "contradicts"),
        ("last-batch-of-a-ramp", "consistent-only-if", "the last partial batch is dropped", 93_780, "contradicts"),
        ("power-too-high", "consistent-only-if", "the printed power is one too high", 2.208e21, "contradicts"),
        ("per-cent", "consistent", None, 71.4286, "rounds"),
        ("rounded-images", "consistent-with-rounding", None, 16, "overlaps"),
        ("zero-added", "inconsistent", None, 16, "contradicts"),
        ("row-of-zero", "inconsistent", None, 12 / 1800, "contradicts"),
    ],
)
def test_the_verdict(name, verdict, only_if, derived, agreement):
    found = shipped(name)
    check = found.readings[0].checks[0]
    assert (str(found.verdict), found.only_if, str(check.agreement)) == (verdict, only_if, agreement)
    assert float(check.derived.point) == pytest.approx(derived, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "suspect", "after"),
    [
        ("digits-of-a-ramp", "stated steps", 92_000),
        ("samples-for-steps", "steps", 97_656),
        ("zero-added", "stated epochs", 16),
        ("row-of-zero", "tokens", 82 * 10**9),
    ],
)
def test_the_slip_that_ranks_first(name, suspect, after):
    first = shipped(name).suspects[0]
    assert (first.name, first.after, first.rank) == (suspect, after, 1)


def test_what_was_printed_is_shown():
    assert shipped("between").readings[0].checks[0].printed == "between 2 and 3"
    assert "INCONSISTENT: epochs (between 2 and 3 stated, 3.29 derived)." in audit_text(shipped("between")).splitlines()
    assert shipped("whole-steps").readings[0].checks[0].how == "3T ÷ 2.097M, up to the next whole step"


@pytest.mark.parametrize(
    ("stated", "low", "high"),
    [
        ("~2", "1.5", "2.5"), ("~40", "39", "41"), ("~1.0", "0.9", "1.1"), ("~0.5", "0.45", "0.55"),
        ("approximately 7", "6.5", "7.5"), ("≈12", "11", "13"), ("'~4,000'", "3999", "4001"), ("~3M", "2.5e6", "3.5e6"),
        ("1Mi", "1048576", "1048576"), ("~1Mi", "524288", "1572864"), ("1.5Gi", "1610612736", "1610612736"),
        ("{number: '38.79', rounded: up}", "38.78", "38.79"), ("{number: '38.78', rounded: down}", "38.78", "38.79"),
        ("{number: ~90, digits: 1}", "85", "95"), ("{number: ~390, digits: 2}", "380", "400"),
    ],
)  # fmt: skip
def test_how_precise_a_printed_number_is(audit, stated, low, high):
    interval = audit(of("x", stated)).readings[0].checks[0].stated.interval
    assert (interval.low, interval.high) == (Fraction(low), Fraction(high))


@pytest.mark.parametrize(
    ("fact", "is_exact"),
    [
        # what a run is told
        ("batch: 2K sequences", True), ("global_batch: 1.5M positions", True), ("gbs: 4K samples", True),
        ("per_device: 8 images", True), ("steps: 1M steps", True), ("iterations: 150K iterations", True),
        ("length: 4K positions", True), ("gpus: 2K GPUs", True), ("images_per_gpu: 1K images", True),
        ("images_per_shard: 1.5K images", False),
        # the size of the data, as it is printed
        ("images: 2.4M images", False), ("corpus: 175K samples", False), ("frames: 200M frames", False),
        ("n: 1.28M rows", False), ("paper_images: 2K images", False), ("train: 0.25B pairs", None),
        ("images: '2,412,345 images'", True), ("rollouts: 5498x8 samples", True), ("images: ~2.4M images", False),
        ("images: {number: 2.4M images, exact: true}", True),
    ],
)  # fmt: skip
def test_settings_are_exact_and_sizes_of_data_are_as_printed(audit, refused, fact, is_exact):
    name = fact.partition(":")[0]
    text = f"facts: {{{fact}}}\nchecks: {{x: {{formula: {name}}}}}"
    if is_exact is None:
        assert "counts pairs" in refused(text).asked
        return
    assert audit(text).readings[0].checks[0].facts[name].interval.is_exact is is_exact


@pytest.mark.parametrize(
    ("stated", "verdict"),
    [("350K steps", "consistent"), ("'349,525 steps'", "consistent"), ("351K steps", "inconsistent")],
)
def test_stated_steps_are_rounded(audit, stated, verdict):
    assert str(audit(of("1_466_016_000_000 / 4Mi", stated, name="steps")).verdict) == verdict


@pytest.mark.parametrize(
    ("formula", "stated", "only_if"),
    [
        ("638.2B", "640B", "640B is rounded to two digits"),
        ("3936", "4,000", None),  # nobody who means 3,936 prints 4,000 without a ~
        ("3,958", "4,000", "4,000 is rounded to two digits"),
        ("37.2", "~40", "40 is rounded to one digit"),
        ("3,936", "~4.0K", None),
        ("44", "40", None),
        ("1,296,000", "~1,300,000", "1,300,000 is rounded to two or three digits"),
        ("638.2B", "{number: 640B, digits: 3}", None),
        ("638.2B", "{number: 640B, exact: true}", None),
    ],
)
def test_zeros_may_be_no_digits(audit, formula, stated, only_if):
    found = audit(of(formula.replace(",", ""), f'"{stated}"' if "," in stated and stated[0] != "{" else stated))
    assert found.only_if == only_if


def test_zeros_of_dollars_may_be_no_digits(audit):
    assert (
        audit(of("3,936".replace(",", ""), '"~$4,000"', name="cost")).only_if
        == "$4,000 is rounded to one or two digits"
    )


def test_a_reading_of_the_claim_goes_before_rounding(audit):
    text = of("638.2B * x", "640B", facts="x: {number: 1, exact: true}").replace(
        "\nchecks", "\nreadings: {twice: {facts: {x: 1.003}}}\nchecks"
    )
    found = audit(text)
    assert (found.only_if, len(found.readings)) == ("twice", 2)


PLANNED = "batch: 1024\nphases: [{{sequence_length: 2048}}]\nbudget: {budget}\nstated: {{steps: {steps}}}"


@pytest.mark.parametrize(
    ("budget", "steps", "only_if"),
    [
        ("90_000_000 samples", "87891", None),
        ("90_000_000 samples", "87890", "the last partial batch is dropped"),
        ("90_000_000 samples", "87892", "the last partial batch is kept"),
    ],
)
def test_planned_steps_may_differ_by_the_last_batch(audit, budget, steps, only_if):
    assert audit(PLANNED.format(budget=budget, steps=steps)).only_if == only_if


def test_steps_that_are_set_are_not_rounded(audit):
    text = "batch: 1024\nphases: [{steps: 1000, sequence_length: 2048}]\nstated: {steps: 999}"
    assert str(audit(text).verdict) == "inconsistent"


@pytest.mark.parametrize(
    ("formula", "stated", "verdict"),
    [
        ("x / 7", "'142,857 steps'", "consistent"),
        ("x / 7", "'142,858 steps'", "consistent"),
        ("x / 7", "'142,859 steps'", "inconsistent"),
        ("ceil(x / 7)", "'142,858 steps'", "consistent"),
        ("ceil(x / 7)", "'142,857 steps'", "consistent-only-if"),
        ("floor(x / 7) + 3", "'142,860 steps'", "consistent"),
        ("ceil(x / 7) * 7 - floor(x / 7) * 7", "7", "consistent"),
    ],
)
def test_steps_are_whole(audit, formula, stated, verdict):
    found = audit(of(formula, stated, facts="x: {number: 1M, exact: true}"))
    assert str(found.verdict) == verdict


@pytest.mark.parametrize(
    ("name", "formula", "stated", "verdict"),
    [
        ("percent", "100 * x / 21", "71.4%", "consistent"),
        ("share", "x / 21", "71.4%", "consistent"),
        ("share", "100 * x / 21", "71.4 per cent", "consistent"),
        ("percent", "x / 21", "71.4%", "consistent"),
        ("percent", "100 * x / 21", "71.4", "consistent"),
        ("share", "100 * x / 21", "72.4%", "inconsistent"),
        ("share", "x / 21 / 100", "71.4%", "inconsistent"),
        ("share", "x / 0.21", "71.4%", "consistent"),
        ("growth", "x / 6", "250%", "consistent"),
        ("share", "x / 30", "0.5%", "inconsistent"),
        ("share", "100 * x / 3000", "0.5%", "consistent"),
        ("share", "x / 2100 * 10 * 10", "0.714%", "inconsistent"),
    ],
)
def test_per_cent(audit, name, formula, stated, verdict):
    assert str(audit(of(formula, stated, facts="x: {number: 15, exact: true}", name=name)).verdict) == verdict


@pytest.mark.parametrize(
    ("name", "text", "value", "unit"),
    [
        ("steps", "1M iterations", 10**6, "step"),
        ("batch", "4M tokens per iteration", 4 * 10**6, None),
        ("frames", "200M frames", 2 * 10**8, "sample"),
        ("gpus", "256 A100 GPUs", 256, "device"),
        ("gpus", "2,048 NVIDIA H100 80GB GPUs", 2048, "device"),
        ("chips", "64 TPU v4 chips", 64, "device"),
        ("gpus", "8x RTX 4090 GPUs", 8, "device"),
        ("corpus_bytes", "160 GiB", 160 * 2**30, None),
        ("corpus_bytes", "1.5TiB", 3 * 2**39, None),
        ("price", "$4.6M", 4_600_000, None),
        ("cost", "~US$5.576M", 5_576_000, None),
        ("cost", "5.6M dollars", 5_600_000, None),
        ("price_per_device_hour", "$2 per GPU hour", 2, None),
        ("minutes", "30 minutes", 30, None),
        ("hours", "90 min", 1.5, None),
        ("share", "71.4 per cent", 0.714, None),
        ("tokens_per_second", "24K tokens per second", 24_000, "token"),
    ],
)
def test_units_of_papers(audit, name, text, value, unit):
    fact = audit(f'facts: {{{name}: "{text}"}}\nchecks: {{x: {{formula: {name}}}}}').readings[0].checks[0].facts[name]
    assert float(fact.number.value) == pytest.approx(value)
    assert (str(fact.number.unit) if fact.number.unit and not fact.number.per else None) == unit


@pytest.mark.parametrize(
    ("name", "text", "asked"),
    [
        ("steps", "$4.6M", "'$4.6M' counts dollars, and the name steps does not say so"),
        ("tokens", "24K tokens per second", "'24K tokens per second' is for one second, and the name tokens does not"),
        ("corpus", "160 GiB", "'160 GiB' counts bytes, and the name corpus does not say so"),
    ],
)
def test_units_that_the_name_does_not_say(refused, name, text, asked):
    error = refused(f'facts: {{{name}: "{text}"}}\nchecks: {{x: {{formula: {name}}}}}')
    assert error.asked.startswith(f"facts.{name}: {asked}")
    assert error.consequence


RUN = "steps: 1M, batch: 256, length: 512"
TYPED = "steps: 1M steps, batch: 256 sequences, length: 512"


@pytest.mark.parametrize(
    ("facts", "name", "formula", "answers"),
    [
        (f"{RUN}, corpus: 3.3B words", "epochs", "steps*batch*length/corpus", ("39.7188", "32.0313")),
        (f"{TYPED}, corpus: 3.3B words", "epochs of it", "steps*batch*length/corpus", ("39.7188", "32.0313")),
        (f"{TYPED}, text: 3.3B words", "passes", "steps*batch*length/text", ("39.7188", "32.0313")),
        (f"{TYPED}, corpus: 3.3B words", "epochs", "steps * 256 * 512 / corpus", ("39.7188", "32.0313")),
        (f"{TYPED}, text: 3.3B words", "epochs over it", "steps*batch*length/text", ("39.7188", "32.0313")),
        ("corpus: 3.3B words", "tokens", "corpus * 40", ("132,000,000,000", "163,680,000,000")),
        (f"{RUN}, corpus_bytes: 16GB", "epochs", "steps*batch*length/corpus_bytes", ("32.7680", "39.3216")),
        ("drawn: 131B tokens, web_bytes: 16GB", "epochs", "drawn/web_bytes", ("32.7500", "39.3000")),
        ("web_bytes: 16 GB", "tokens of the web", "web_bytes", ("4,000,000,000", "3,333,333,333.3333")),
    ],
)
def test_words_and_bytes_are_no_tokens(refused, facts, name, formula, answers):
    error = refused(of(formula, "~40", facts=facts, name=name))
    assert error.rule.endswith(answers[1])
    assert f"{name} = {answers[0]}; " in error.rule
    assert "do not turn into tokens without a ratio" in error.rule
    assert len(error.fixes) == 2
    assert error.origin.line == 3


def test_a_corpus_in_bytes_is_refused_with_its_tokens(refused):
    error = refused(of("steps*batch*length/corpus", "~40", facts=f"{RUN}, corpus: 16GB", name="epochs"))
    assert error.rule == (
        "bytes do not turn into tokens without a ratio: at 4 bytes a token (a rule of thumb for English) 16GB are "
        "4B tokens; at 4.8 bytes a token (XLNet's pieces in its own corpora) 16GB are 3.333B tokens"
    )


@pytest.mark.parametrize(
    ("facts", "name", "formula"),
    [
        (f"{RUN}, corpus: 3.3B words, tokens_per_word: 1.24", "epochs", "steps*batch*length/(corpus*tokens_per_word)"),
        (f"{RUN}, corpus: 3.3B words, ratio: 1.24", "epochs", "steps*batch*length/corpus/ratio"),
        (f"{RUN}, corpus: 3.3B words", "epochs", "steps*batch*length/(corpus*1.24)"),
        (f"{RUN}, corpus_bytes: 16GB", "epochs", "steps*batch*length/(corpus_bytes/4.8)"),
        (
            f"{RUN}, corpus_bytes: 16GB, bytes_per_token: 4.8",
            "epochs",
            "steps*batch*length*bytes_per_token/corpus_bytes",
        ),
        (f"{RUN}, corpus: 3.3B words", "tokens a word", "steps*batch*length/40/corpus"),
        ("pieces: 3.87B tokens, corpus: 3.3B words", "pieces a word", "pieces/corpus"),
        (f"{RUN}, corpus: 3.3B words\nassumes: {{words: a word is one token}}", "epochs", "steps*batch*length/corpus"),
        ("a: 1B words, b: 2B words", "words", "a + b"),
        ("read: 131B words, corpus: 3.3B words", "epochs", "read / corpus"),
        ("warmup: 10K steps, steps: 1M steps", "steps", "warmup + steps"),
        # what is called so compares two things, or counts words and bytes itself
        ("pieces: 3.87B tokens, corpus: 3.3B words", "tokens to words", "pieces / corpus"),
        ("en: 2B words, all_words: 3.3B words", "share", "en / all_words"),
        ("steps: 1K steps, bytes_per_step: 16 MB", "bytes read", "steps * bytes_per_step"),
        ("steps: 1K steps, bytes_per_step: 16 MB", "traffic", "steps * bytes_per_step"),
        ("parameters: 7B parameters, bytes_per_parameter: 2", "memory", "parameters * bytes_per_parameter"),
    ],
)
def test_units_that_go_together(audit, facts, name, formula):
    facts, _, rest = facts.partition("\n")
    assert audit(of(formula, "7", facts=facts.rstrip("}"), name=name) + (f"\n{rest}" if rest else ""))


@pytest.mark.parametrize(
    ("facts", "name", "formula", "asked"),
    [
        ("a: 3B words, b: 2B tokens", "sum", "a + b", "the formula a + b adds tokens and words"),
        (f"{TYPED}, corpus: 300B tokens", "epochs", "steps * batch / corpus", "divides samples by tokens"),
        (f"{RUN}, corpus: 3B words, tokens_per_word: 1.2", "epochs", "steps*batch*length/(corpus/tokens_per_word)",
         "counts words more than once"),
    ],
)  # fmt: skip
def test_other_units_that_do_not_go_together(refused, facts, name, formula, asked):
    error = refused(of(formula, "7", facts=facts, name=name))
    assert asked in error.asked
    assert error.fixes


@pytest.mark.parametrize(
    ("facts", "name", "formula", "answer", "fix"),
    [
        ("gpus: 32 GPUs, days: 3 days", "GPU hours", "gpus * days", "GPU hours = 2,304", "× 24"),
        ("t: 300B tokens, tokens_per_second: 1M", "hours", "t / tokens_per_second", "hours = 83.3333", "÷ 3,600"),
        (
            "t: 300B tokens, tokens_per_second: 1M tokens per second",
            "hours",
            "t/tokens_per_second",
            "hours = 83.3333",
            "÷ 3,600",
        ),
        ("steps: 250K steps, minutes: 96 minutes, hours: 960 hours", "epochs", "steps*minutes/hours", "", "÷ 60"),
        ("t: 300B tokens, hours: 83.3 hours", "tokens per second", "t / hours", "", "÷ 3,600"),
        ("hours: 36 hours", "days of it", "hours", "days of it = 1.5000", "÷ 24"),
    ],
)
def test_times_are_not_taken_for_each_other(refused, facts, name, formula, answer, fix):
    error = refused(of(formula, "7", facts=facts, name=name))
    assert error.fixes == (f"{fix} in the formula",)
    assert answer in error.rule
    assert error.consequence.startswith("it would be ")


@pytest.mark.parametrize(
    ("facts", "name", "formula"),
    [
        ("gpus: 32 GPUs, days: 3 days", "GPU hours", "gpus * days * 24"),
        ("gpus: 32 GPUs, days: 3 days", "GPU days", "gpus * days"),
        ("t: 300B tokens, tokens_per_second: 1M", "days", "t / tokens_per_second / 86400"),
        ("days: 3 days, steps: 1M steps", "steps a day", "steps / days"),
        ("first_days: 3, second_days: 4", "days", "second_days + first_days"),
        ("gpu_hours: 2.1 GPU years, gpus: 8 GPUs", "hours", "gpu_hours / gpus"),
        ("t: 300B tokens, tokens_per_second: 1M tokens per second", "seconds", "t / tokens_per_second"),
        ("hours: 3 hours, epochs: 4 epochs", "hours per epoch", "hours / epochs"),
    ],
)
def test_times_that_go_together(audit, facts, name, formula):
    assert audit(of(formula, "7", facts=facts, name=name))


def test_a_fact_of_about_may_be_rounded_to_fewer_digits(audit):
    found = audit(of("x / 96", "41.0", facts='x: "~4,000"'))
    assert (str(found.verdict), found.only_if) == ("consistent-only-if", "4,000 is rounded to one or two digits")
    assert str(audit(of("x / 96", "51.0", facts='x: "~4,000"')).verdict) == "inconsistent"


@pytest.mark.parametrize(
    ("ends", "formula", "agreement", "printed"),
    [
        ("[2, 3]", "2.9", "rounds", "between 2 and 3"),
        ("[95 days, 97 days]", "96.5", "rounds", "between 95 days and 97 days"),
        ("[30%, 45%]", "0.5", "contradicts", "between 30% and 45%"),
    ],
)
def test_a_range_needs_no_number(audit, ends, formula, agreement, printed):
    name = "days" if "days" in ends else "a"
    check = audit(of(formula, f"{{between: {ends}}}", name=name)).readings[0].checks[0]
    assert (str(check.agreement), check.printed) == (agreement, printed)


def test_a_number_beside_its_range_is_shown_with_it(audit):
    check = audit(of("0.5", "{number: 36%, between: [30%, 45%]}")).readings[0].checks[0]
    assert check.printed == "36% (between 30% and 45%)"


def test_a_reading_is_held_to_its_units_too(refused, audit):
    text = of("steps*batch*length/corpus", "~40", facts=f"{TYPED}, corpus: 3.3B tokens", name="epochs")
    error = refused(f"{text}\nreadings:\n  words: {{facts: {{corpus: 3.3B words}}}}")
    assert error.origin == Origin(error.origin.name, 5)
    assert "divides by words" in error.asked
    own = f"{text}\nassumes: {{words: tokens are printed}}\nreadings:\n  w: {{facts: {{corpus: 3.3B words}}}}"
    assert len(audit(own).readings) == 2


@pytest.mark.parametrize(
    ("corpus", "batch", "place", "value"),
    [
        ("'13B tokens'", "512", "corpus", 13 * 10**9),
        ("13B tokens", "512 sequences", "corpus", 13 * 10**9),
        ("6.348M samples", "'1Mi tokens'", "corpus", 6_348_000),
    ],
)
def test_sections_of_one_number(audit, corpus, batch, place, value):
    text = f"corpus: {corpus}\nbatch: {batch}\nphases: [{{steps: 100K, sequence_length: 2048}}]\nstated: {{epochs: ~8}}"
    found = audit(text)
    assert found.readings[0].checks[0].facts[place].number.value == value
    assert float(found.readings[0].checks[0].derived.point) == pytest.approx(8.066, rel=1e-3)


@pytest.mark.parametrize(
    ("corpus", "batch", "line", "asked"),
    [
        ("13B", "512", 2, "corpus '13B' does not say what it counts"),
        ("5K documents", "512", 2, "corpus '5K documents' counts documents"),
        ("13 bananas", "512", 2, "corpus '13 bananas': 'bananas' is not a unit"),
        ("13B words", "512", 2, "corpus: words and tokens_per_word go together"),
    ],
)
def test_sections_that_read_more_than_one_way(refused, corpus, batch, line, asked):
    error = refused(
        f"corpus: {corpus}\nbatch: {batch}\nphases: [{{steps: 5, sequence_length: 8}}]\nstated: {{epochs: 1}}"
    )
    assert (error.asked, error.origin.line) == (asked, line)


def test_a_reading_sets_a_section_of_one_number(audit):
    text = "corpus: 13B tokens\nbatch: 512\nphases: [{steps: 100K, sequence_length: 2048}]\nstated: {epochs: ~16.1}"
    found = audit(f"{text}\nreadings: {{twice: {{set: {{batch: 1Ki}}}}}}")
    assert found.only_if == "twice"


def test_an_assumption_of_a_reading_is_declared_at_the_top(refused):
    error = refused(of("x", "2") + "\nreadings: {r: {assumes: {flops: 6 a parameter}}}")
    assert error.fixes == ("assumes: {flops: what it is as printed} at the top, beside facts and readings",)
    assert error.rule.startswith("what a reading takes otherwise is said at the top of the claim")


def test_a_mixture_of_many_rows_is_one_formula(audit):
    names = [f"source_number_{row}" for row in range(40)]
    facts = ", ".join(f"{name}: {{number: {row + 1}B tokens, exact: true}}" for row, name in enumerate(names))
    assert str(audit(of(" + ".join(names), "820B tokens", facts=facts, name="tokens")).verdict) == "consistent"


@pytest.mark.parametrize(
    ("formula", "asked"),
    [
        (" + ".join(["x"] * 400), "the formula has too many numbers and names"),
        ("x + " * 2000 + "x", "the formula has 8,001 characters"),
        ("ceil x", "needs an operator before 'x'"),
    ],
)
def test_formulas_that_are_not_read(refused, formula, asked):
    assert asked in refused(of(formula, "2")).asked
