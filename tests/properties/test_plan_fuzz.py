"""Whatever recipes and flags say, the answer is a plan that adds up or one clear error."""

import json

from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dist_epochs.cli.main import main
from dist_epochs.cli.plan_flags import FLAGS
from dist_epochs.errors import Origin
from dist_epochs.settings.document import Document

NUMBERS = st.sampled_from(
    ["1", "2", "3", "7", "10", "64", "100", "256", "1k", "4096", "1M", "300B", "2**16", "0", "-1", "1.5", "1/3", "1e6",
     "1e30", "90%", "40%"]
)  # fmt: skip
SPELLED = st.sampled_from(
    ["100 samples", "10007 samples", "3.3B words", "1B tokens", "148 rows", "256x512", "4Mi tokens", "8xH100",
     "64xA100-80GB", "8xFoo", "16 8 5859375", "4 4 100", "bert-base", "gpt2", "llama-7b", "nothing", "flush", "carry",
     "drop", "pad", "keep", "bf16", "fp8", "3 days", "", "x", "[0.3, 0.4]", "null", "true", "²", "nan", "inf", "1__0"]
)  # fmt: skip
NAMES = [name for section in FLAGS.values() for name in section]
LIKELY = {
    "corpus": ["100 samples", "10007 samples", "1B tokens", "3.3B words"], "batch": ["256x512", "32", "4Mi tokens"],
    "devices": ["1", "7", "8xH100"], "per-device": ["1", "8"], "gradient-accumulation": ["1", "6"],
    "sequence-length": ["128", "512"],
    "steps": ["10", "1M"], "epochs": ["1", "1.5", "40"], "model": ["bert-base", "gpt2"],
    "uneven": ["pad", "drop", "keep"],
    "last-window": ["flush", "carry", "drop"], "hours": ["2"], "tokens-per-word": ["1", "1.3"], "global-batch": ["64"],
    "mfu": ["40%"],
    "ramp": ["16 8 1000"], "samples": ["1000"],
}  # fmt: skip
FLAG = st.sampled_from(sorted(LIKELY)).flatmap(
    lambda name: st.tuples(
        st.just(name), st.one_of(st.sampled_from(LIKELY[name]), st.sampled_from(LIKELY[name]), NUMBERS, SPELLED)
    )
) | st.tuples(st.sampled_from(NAMES), st.one_of(NUMBERS, SPELLED))  # fmt: skip

CORE = st.tuples(
    st.sampled_from([{}, *({"corpus": text} for text in LIKELY["corpus"]),
                     {"corpus": "3.3B words", "tokens-per-word": "1.2"}]),
    st.sampled_from([{"batch": "256x512"}, {"global-batch": "64"}, {"per-device": "8", "gradient-accumulation": "3"},
                     {"global-batch": "4Mi tokens", "sequence-length": "512"},
                     {"global-batch": "96", "per-device": "5", "sequence-length": "64"}]),
    st.sampled_from([{name: text} for name in ("steps", "samples", "tokens", "epochs")
                     for text in ("10", "1000", "12345", "1M")]),
).map(lambda parts: {name: text for part in parts for name, text in part.items()})  # fmt: skip


def run(arguments):
    result = CliRunner().invoke(main, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), (arguments, result.exception)
    assert result.exit_code in (0, 2), arguments
    if result.exit_code == 2:
        assert result.stdout == ""
        assert json.loads(result.stderr)["errors"]
        return None
    return json.loads(result.stdout)


def adds_up(plan):
    """What holds for every plan, counted a second way."""
    assert plan["steps"] >= 0
    assert sum(phase["steps"] for phase in plan["phases"]) == plan["steps"]
    assert sum(phase["samples"] for phase in plan["phases"]) == plan["samples"]
    if plan["drawn"] is None:
        assert all(phase["steps"] * phase["global_batch"] == phase["samples"] for phase in plan["phases"])
    if plan["positions"] is not None:
        assert plan["positions"] == sum(phase["samples"] * phase["sequence_length"] for phase in plan["phases"])
        if plan["corpus"]["tokens"] and plan["epochs"]["positions"]:
            assert abs(plan["epochs"]["positions"] * plan["corpus"]["tokens"] / plan["positions"] - 1) < 1e-9
    if plan["sources"]:
        assert sum(source["samples"] for source in plan["sources"]) == plan["samples"]
    if plan["coverage"] is not None:
        assert 0 <= plan["coverage"] <= 1
    ranges = plan["cost"]["ranges"]
    assert all(found["low"] <= found["high"] for found in ranges.values())


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(CORE | st.just({}), st.lists(FLAG, max_size=4), st.booleans())
def test_flags(core, flags, replacement):
    arguments = [f"--{name}={value}" for name, value in (core | dict(flags)).items()]
    plan = run(["plan", *arguments, *(["--replacement"] if replacement else []), "--json"])
    if plan is not None:
        adds_up(plan)
        text = CliRunner().invoke(main, ["plan", *arguments, *(["--replacement"] if replacement else [])])
        assert text.exit_code == 0, (arguments, text.exception)


GOOD = {
    "corpus": [{"samples": "1000 samples"}, {"words": "3B words", "tokens_per_word": 1.3},
        {"sources": {"a": {"tokens": "1B", "weight": 2}, "b": {"tokens": "3B", "weight": 1}}}],
    "batch.global_batch": ["64", "256", "32Ki tokens"], "batch.devices": [1, 4, 16],
    "batch.gradient_accumulation": [1], "batch.per_device": [1, 3, 16],
    "batch.ramp": ["16 8 5000", {"stages": {"0": 8, "100k tokens": 32}},
        {"start": 8, "increment": 8, "over": "50 steps"}],
    "batch.uneven": ["allow"], "batch.replacement": [True],
    "budget": [{"tokens": "1B"}, {"epochs": 3}, {"hours": 5}, {"flops": "1e18"}, {"samples": 12345}],
    "phases.0": [{"share": "10%", "sequence_length": 64}, {"share": "50%", "sequence_length": 512}],
    "phases.1.sources": [{"a": 1}, {"a": 3, "b": 1}], "mixture.temperature": [2, "10/3"],
    "hardware.mfu": ["40%", ["30%", "50%"]],
    "hardware.tokens_per_second": ["1M"], "precision": ["fp16", "bf16"],
    "model": [{"parameters": "1B"}, {"config": "modernbert-base"}],
    "model.adapter": [{"rank": 8, "targets": "all-linear"}, {"parameters": "1M"}, {"kind": "other"}],
    "model.frozen": [{"layers": 2}, {"trained": "10M"}, {}],
    "model.quantization": [{"bits": 4}],
}  # fmt: skip
TREE = st.recursive(
    st.one_of(NUMBERS, SPELLED, st.none(), st.booleans(), st.integers(-5, 5000)),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["steps", "tokens", "share", "web"]), inner, max_size=3)
    ),
    max_leaves=4,
)
KEYS = [
    "name", "seed", "corpus", "corpus.tokens", "corpus.words", "corpus.tokens_per_word", "corpus.samples",
    "corpus.sources", "corpus.weights", "corpus.temperature", "corpus.max_epochs", "batch", "batch.global_batch",
    "batch.per_device", "batch.devices", "batch.gradient_accumulation", "batch.ramp", "batch.uneven",
    "batch.last_window", "batch.replacement", "batch.tensor_parallel", "budget", "phases", "phases.0", "phases.0.steps",
    "phases.0.share", "phases.0.epochs", "phases.0.sequence_length", "phases.1.sequence_length", "model",
    "model.config", "model.objective", "hardware", "hardware.device", "hardware.mfu", "hardware.tokens_per_second",
    "precision", "optimizer", "log_every", "tracking", "evaluation", "model.adapter", "model.adapter.rank",
    "model.adapter.targets", "model.adapter.parameters", "model.frozen", "model.frozen.layers", "model.frozen.trained",
    "model.quantization.bits", "phases.0.sources", "mixture",
]  # fmt: skip
CHANGE = st.one_of(
    st.sampled_from(sorted(GOOD)).flatmap(lambda name: st.tuples(st.just(name), st.sampled_from(GOOD[name]))),
    st.sampled_from(sorted(GOOD)).flatmap(lambda name: st.tuples(st.just(name), st.sampled_from(GOOD[name]))),
    st.tuples(st.sampled_from(KEYS), TREE),
)
BASE = """
name: x
corpus: {tokens: 1B}
batch: {global_batch: 64, per_device: 8, devices: 8}
budget: {steps: 1000}
phases: [{share: 90%, sequence_length: 128}, {sequence_length: 512}]
model: {config: bert-base}
hardware: {device: H100}
"""


@settings(
    max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(st.lists(CHANGE, min_size=1, max_size=5))
def test_recipes(tmp_path, changes):
    path = tmp_path / "r.yaml"
    path.write_text(BASE)
    document = Document.read(path)
    for key, value in changes:
        place = tuple(int(part) if part.isdigit() else part for part in key.split("."))
        try:
            document.put(place, value, Origin("test"))
        except ValueError:
            continue
    path.write_text(json.dumps(document.data))
    plan = run(["plan", str(path), "--json"])
    if plan is not None:
        adds_up(plan)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_file(tmp_path, content):
    path = tmp_path / "r.yaml"
    path.write_bytes(content)
    run(["plan", str(path), "--json"])
