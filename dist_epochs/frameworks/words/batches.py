"""Words for batches and for the devices that they are divided among."""

from __future__ import annotations

from dist_epochs.frameworks.words.entry import Entry

__all__ = ["BATCHES"]

BATCHES: tuple[Entry, ...] = (
    Entry(
        "mini-batch",
        "the examples of one update, where these are neither one nor all of them",
        """
        100 examples in mini-batches of 10 make 10 updates in a pass, and 5,000 in 500 passes. In practice
        "batch" and "mini-batch" are the same, and the textbook's batch gradient descent is the one with
        all examples. On several devices say which is meant: what one device takes at once (micro-batch)
        or what one update sees (global batch).
        """,
        ("mini-batch gradient descent", "mini-batch sgd", "小批量", "小批次", "小批量梯度下降", "미니배치",
         "미니 배치", "ミニバッチ", "ミニバッチ学習"),
    ),
    Entry(
        "micro-batch",
        "the samples that one device takes through one forward and backward pass",
        """
        It is what has to fit into a device's memory. With 8 samples a device, 4 devices and 4 micro-steps
        an update sees 8 × 4 × 4 = 128 samples. Called per_device_train_batch_size in the HF Trainer,
        --micro-batch-size in Megatron, train_micro_batch_size_per_gpu in DeepSpeed, and here per_device.
        A smaller micro-batch with more accumulation gives the same update, in more time.
        """,
        ("per-device batch size", "per_device", "per_device_train_batch_size", "train_micro_batch_size_per_gpu",
         "batch size per gpu", "local batch size", "微批次", "微批量", "마이크로 배치", "マイクロバッチ"),
    ),
    Entry(
        "effective-batch-size",
        "another name for the global batch: the samples that one update sees, over all devices and micro-steps",
        """
        per device × gradient accumulation × data-parallel size: 8 × 4 × 8 = 256 samples. Times the
        sequence length it is the batch in tokens: 256 × 512 = 131,072. Multiply by the data-parallel
        size, not by all devices: on 64 devices of which 8 share each model it is 8.
        """,
        ("total batch size", "total train batch size", "train batch size", "有效批大小", "有效批次大小",
         "유효 배치 크기", "実効バッチサイズ"),
    ),
    Entry(
        "gradient-accumulation",
        "adding up the gradients of several micro-batches before one update",
        """
        4 micro-steps of 8 samples on 8 devices make one update with 4 × 8 × 8 = 256 samples: 4 forward
        passes, 1 step. Whoever counts batches of the loader counts 4 times as many as there are updates.
        The update equals that of one large batch only if the loss is divided by the loss tokens of the
        whole window; a mean of means weighs short micro-batches too much. What becomes of the last,
        partial window of a pass differs between libraries (dist-epochs explain partial-window).
        """,
        ("gradient_accumulation_steps", "accumulation", "accumulation steps", "grad accum", "ga",
         "accumulate_grad_batches", "梯度累积", "梯度累積", "그래디언트 누적", "기울기 누적", "경사 누적",
         "勾配蓄積", "勾配累積"),
    ),
    Entry(
        "world-size",
        "the number of processes of a run over all machines, usually one for each device",
        """
        2 machines × 8 GPUs = 16 processes, with ranks 0 to 15. It multiplies the batch only as far as the
        processes see different data: with tensor parallelism of 4, 16 processes are 16 ÷ 4 = 4
        data-parallel ones, and 8 samples each make 32, not 128.
        """,
        ("world", "num_processes", "number of processes", "nproc", "월드 크기", "월드 사이즈", "进程数",
         "プロセス数"),
    ),
    Entry(
        "rank",
        "the number of a process, from 0 to the world size − 1",
        """
        The local rank counts on one machine: rank 11 of 2 machines with 8 GPUs is local rank 3 of the
        second. Rank 0 usually logs and saves, so its counts are of one device unless they are summed.
        """,
        ("local rank", "global rank", "process index", "랭크", "ランク"),
    ),
    Entry(
        "data-parallel",
        "each device holds the model, or a shard of it, and takes other samples of the batch; gradients are averaged",
        """
        DDP copies the model; FSDP and ZeRO shard its states (parameters, gradients, Adam's averages) and
        count samples just as DDP does. 8 devices × 8 samples = 64 a micro-step. Adam in mixed precision
        holds 16 bytes a parameter: 7B parameters are 112 GB on each device with DDP, and 14 GB with
        everything sharded over 8.
        """,
        ("data parallelism", "ddp", "distributed data parallel", "fsdp", "zero", "zero stage", "dp", "数据并行",
         "資料並行", "데이터 병렬", "데이터 병렬화", "データ並列"),
    ),
    Entry(
        "tensor-parallel",
        "devices that share each layer of one model: they see the same samples, and count once in the batch",
        """
        With tensor parallelism of 8, 64 devices are 8 data-parallel ones. The same holds for pipeline
        parallelism, where devices share the stack of layers, and context or sequence parallelism, where
        they share each sequence: data-parallel size = devices ÷ (tensor × pipeline × context). 64 ÷ (8 ×
        2 × 1) = 4.
        """,
        ("tensor parallelism", "model parallel", "model parallelism", "pipeline parallel", "pipeline parallelism",
         "context parallel", "context parallelism", "sequence parallelism", "tp", "pp", "cp", "张量并行",
         "텐서 병렬", "テンソル並列"),
    ),
)  # fmt: skip
"""In the order in which a batch is built."""
