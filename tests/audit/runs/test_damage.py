"""Whatever happened to a file, there is an audit or an InputError: never a traceback, never anything run."""

import json
import struct
from zlib import crc32

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dist_epochs.audit.detect.folder import read_finished_run
from dist_epochs.audit.runs.claims import read_claims
from dist_epochs.audit.runs.run_audit import audit_run
from dist_epochs.errors import InputError
from dist_epochs.render.audit import audit_text

CLAIMS = read_claims(
    {
        "devices": "8xH100",
        "gradient_accumulation": "4",
        "corpus": "698 samples",
        "epochs": "3",
        "global_batch": "32",
        "mfu": "40%",
        "parameters": "7B",
        "precision": "bf16",
        "sequence_length": "128",
        "hours": "3",
        "documents": "7473",
    }
)
NOTHING = read_claims({})

LOG = b"""  global_batch_size .......... 8
  micro_batch_size ........... 2
  world_size ................. 4
  seq_length ................. 128
 iteration       10/     500 | consumed samples:           80 | elapsed time per iteration (ms): 12.5 | \
throughput per GPU (TFLOP/s/GPU): 40.4 | global batch size:     8 | number of skipped iterations:   0 |
 iteration       20/     500 | consumed samples:          160 | elapsed time per iteration (ms): 12.5 | \
throughput per GPU (TFLOP/s/GPU): 40.4 | global batch size:     8 | number of skipped iterations:   0 |
[2024-01-01] [step=3/40,epoch=0]
    throughput/total_tokens=4,194,304
 samples/sec: 21.3 | iteration 30/ 500 | approx flops per GPU: 45.3TFLOPS |
"""
STATE = json.dumps(
    {
        "global_step": 66,
        "max_steps": 66,
        "epoch": 3.0,
        "num_train_epochs": 3,
        "train_batch_size": 2,
        "total_flos": 1e15,
        "num_input_tokens_seen": 9000,
        "log_history": [
            {"step": 11, "epoch": 0.5, "loss": 1.2, "learning_rate": 1e-5, "train_runtime": 3.5},
            {"step": 66, "epoch": 3.0, "train_runtime": 9.0, "train_samples_per_second": 232.0},
        ],
    }
).encode()
CONSOLE = """\x1b[32m[INFO|trainer.py:2134] >> ***** Running training *****\x1b[0m
  Num examples = 37
  Num Epochs = 2
  Instantaneous batch size per device = 4
  Total train batch size (w. parallel, distributed & accumulation) = 12
  Gradient Accumulation steps = 3
  Total optimization steps = 6
  Continuing training from global step 2
{'loss': '3.91', 'learning_rate': '2.5e-05', 'epoch': '1.2'}
 67%|██▋ | 4/6 [00:00<00:00, 84.50it/s]
{'eval_loss': 4.1, 'eval_runtime': 0.1, 'epoch': 1.2}
100%|███ | 6/6 [00:00<00:00, 84.50it/s]
{'train_runtime': 0.1, 'train_samples_per_second': 740.0, 'train_steps_per_second': 60.0, 'epoch': 1.8}
""".replace("\n 67", "\r 67").encode()
NEMO = b"""Training epoch 0, iteration 0/49 | global_batch_size: 8 | global_step: 0 | train_step_timing in s: 4.022
Training epoch 0, iteration 1/49 | global_batch_size: 8 | global_step: 1 | train_step_timing in s: 4.0 | \
consumed_samples: 16
Training epoch 0, iteration 5/49 | global_batch_size: 8.5 | global_step: 5 | consumed_samples: 40
"""
LEDGER = b"""{"event":"segment","from_step":0,"world_size":2}
{"event":"begin","step":1}
{"event":"applied","step":1,"micro_steps":2,"drawn":[[0,"web",10,0,4,30,5,"00000000000000000000000000000007"]]}
{"event":"end","status":"finished"}
"""


def varint(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def message(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def wandb():
    """Rows as wandb writes them."""
    file = struct.pack("<4sHB", b":W&B", 0xBEE1, 0)
    for step in (1, 2, 3):
        values = {"train/global_step": step, "train/epoch": step / 3, "num_input_tokens_seen": step * 10}
        items = b"".join(
            message(1, message(1, key.encode()) + message(16, str(value).encode())) for key, value in values.items()
        )
        record = message(2, items)
        file += struct.pack("<IHB", crc32(record, crc32(b"\1")), len(record), 1) + record
    return file


FILES = {
    "megatron": LOG,
    "nemo": NEMO,
    "hf-console": CONSOLE,
    "hf-trainer": STATE,
    "wandb": wandb(),
    "dist-epochs": LEDGER,
}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("damage") / "file"


def look(path, data):
    """Audit it; its kind, `error`, or None if it is no run."""
    path.write_bytes(data)
    try:
        run = read_finished_run(path)
        if run is None:
            return None
        for claims in (CLAIMS, NOTHING):
            audit = audit_run(run, claims)
            json.dumps(audit.to_json())
            audit_text(audit)
    except InputError:
        return "error"
    return run.kind


@pytest.mark.parametrize("kind", FILES)
def test_whole_files_are_read(path, kind):
    assert look(path, FILES[kind]) == kind.replace("megatron", "gpt-neox")


relaxed = settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.mark.parametrize("kind", FILES)
@relaxed
@given(data=st.data())
def test_any_truncation(path, kind, data):
    whole = FILES[kind]
    look(path, whole[: data.draw(st.integers(0, len(whole)))])


@pytest.mark.parametrize("kind", FILES)
@relaxed
@given(data=st.data())
def test_any_garbling(path, kind, data):
    garbled = bytearray(FILES[kind])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(garbled) - 1))
        piece = data.draw(
            st.one_of(
                st.binary(max_size=5),
                st.sampled_from([b"9" * 30, b"\0" * 9, b"-1", b"0", b"1e99", b"NaN", b"[[[", b"|"]),
            )
        )
        garbled[at : at + data.draw(st.integers(0, 5))] = piece
    look(path, bytes(garbled))


@relaxed
@given(st.binary(max_size=300))
@example(b"")
@example(b"\0" * 100)
@example(b":W&B")
@example(b"{")
@example(b'{"event":"segment"}')
def test_garbage(path, data):
    look(path, data)


@relaxed
@example({"epoch": 5e-324}, [], 1)
@given(
    st.dictionaries(
        st.sampled_from(
            ["max_steps", "epoch", "num_train_epochs", "train_batch_size", "total_flos", "num_input_tokens_seen"]
        ),
        st.one_of(
            st.integers(),
            st.floats(),
            st.text(max_size=5),
            st.none(),
            st.lists(st.integers(), max_size=2),
            st.integers(0, 10**45),
        ),
    ),
    st.lists(
        st.dictionaries(
            st.sampled_from(["step", "epoch", "loss", "train_runtime", "train_samples_per_second"]),
            st.one_of(st.integers(), st.floats(), st.booleans()),
        )
    ),
    st.integers(0, 10**41),
)
def test_any_values_in_a_state(path, keys, rows, step):
    look(path, json.dumps({"global_step": step, "log_history": rows, **keys}).encode())
