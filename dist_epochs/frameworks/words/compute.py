"""Words for what a run computes and how fast."""

from __future__ import annotations

from dist_epochs.frameworks.words.entry import Entry

__all__ = ["COMPUTE"]

COMPUTE: tuple[Entry, ...] = (
    Entry(
        "mfu",
        "model FLOPs utilization: the FLOPs that the model needs ÷ the peak of the devices in the same time",
        """
        tokens a second × FLOPs a token ÷ (devices × peak). A model of 7B parameters takes about 6 × 7B =
        42 GFLOPs a token; 80,000 tokens a second on 8 H100 of 989 TFLOP/s are 3.36 ÷ 7.91 PFLOP/s = 42 %.
        Recomputed activations do not count (with them it is hfu, which is never lower). llm-foundry
        measured 40 to 46 % on eight H100 and up to 64 % on A100 (dist-epochs explain optimistic-mfu).
        Half of what is expected often has the peak for sparse matrices below it, an eighth the speed of
        one device of eight; above 100 % the speed or the peak is wrong.
        """,
        ("model flops utilization", "utilization", "算力利用率", "모델 연산 효율", "計算効率"),
    ),
    Entry(
        "hfu",
        "hardware FLOPs utilization: as MFU, with every FLOP that was computed, recomputed activations included",
        """
        With full activation checkpointing the forward pass runs twice: 8 FLOPs a parameter and token
        instead of 6, so an MFU of 39 % is an HFU of 52 %.
        """,
        ("hardware flops utilization",),
    ),
    Entry(
        "flops",
        "floating-point operations; FLOP/s, also written FLOPS, are so many a second",
        """
        Training a dense model takes about 6 a parameter and token: 2 forward, 4 backward. 7B parameters
        on 1T tokens: 6 × 7e9 × 1e12 = 4.2e22. Attention adds to it with the sequence length, and
        embeddings that are only looked up take none (dist-epochs explain six-per-parameter).
        """,
        ("flop", "compute", "training compute", "浮点运算", "연산량", "浮動小数点演算"),
    ),
    Entry(
        "total_flos",
        "the HF Trainer's estimate of the FLOPs of a run: 6 × elements of the input × parameters without embeddings",
        """
        From its source: for each micro-batch of each process 6 × input_ids.numel() × the model's
        parameters without embeddings, added up over processes. Padding counts, attention does not, and
        neither does a head that is tied to the embeddings: measured against exact counts it is 0.60 of
        GPT-2's, 0.72 of BERT-base's and 0.925 of Llama-7B's FLOPs. It is 0 for a model that cannot say
        its parameters. 1,000 steps of 32 × 512 with 85M parameters beside the embeddings: 6 × 16.4M × 85M
        = 8.4e15. It is no measure of time.
        """,
        ("total flos", "total_flops", "floating_point_ops"),
    ),
    Entry(
        "chinchilla",
        "Hoffmann et al. 2022 (arXiv:2203.15556): for a given compute, train about 20 tokens for each parameter",
        """
        Their model has 70B parameters and saw 1.4T tokens, 20 each, at 6 × 70e9 × 1.4e12 = 5.9e23 FLOPs.
        7B parameters would be 140B tokens. It says how to spend a training budget, not how much training
        is enough: models that are used a lot are trained on far more (dist-epochs explain
        tokens-per-parameter). The tokens are of one epoch; repeated ones teach less (dist-epochs explain
        repeated-data).
        """,
        ("compute-optimal", "scaling law", "scaling laws", "20 tokens per parameter", "缩放定律", "스케일링 법칙",
         "친칠라", "チンチラ", "スケーリング則"),
    ),
    Entry(
        "throughput",
        "what is drawn in a second: samples, positions or tokens, on one device or on all",
        """
        A speed is worth nothing without its unit and its scope. 80,000 tokens a second over 8 devices are
        10,000 on each; in samples of 2,048 they are 39 a second in all. Padding counts in most logs.
        Hours = tokens ÷ speed: 300B ÷ 80,000 = 1,042 hours.
        """,
        ("tokens per second", "tokens/s", "samples per second", "speed", "吞吐量", "처리량", "スループット"),
    ),
    Entry(
        "device-hours",
        "devices × hours: 64 GPUs for 3 days are 64 × 72 = 4,608",
        """
        What is paid for, idle ones included: at 2 dollars an hour they cost 9,216 dollars. Hours alone,
        from start to end, are wall-clock hours.
        """,
        ("gpu hours", "gpu-hour", "wall-clock", "gpu小时", "gpu 시간", "gpu時間"),
    ),
    Entry(
        "activation-checkpointing",
        "keeping few activations of the forward pass and computing the others again in the backward pass",
        """
        It saves memory for about a third more computing: 8 FLOPs a parameter and token instead of 6.
        Steps, samples and epochs stay the same. Also called gradient checkpointing, recomputation or
        rematerialization.
        """,
        ("gradient checkpointing", "recomputation", "rematerialization", "激活检查点", "活性化チェックポイント"),
    ),
    Entry(
        "sequence-length",
        "positions of one sample, padding included",
        """
        It turns samples into positions: 256 samples of 512 are 131,072. Where it changes during a run, as
        in BERT (90 % of the steps at 128, the rest at 512), one length cannot stand for all: 256 × (0.9M
        × 128 + 0.1M × 512) = 42.6B positions, where 512 throughout would be 131B.
        """,
        ("seq_len", "seq length", "max length", "max_seq_length", "context length", "block size", "序列长度",
         "시퀀스 길이", "문맥 길이", "系列長", "コンテキスト長"),
    ),
    Entry(
        "padding",
        "positions that hold no token, to make samples equally long",
        """
        They cost computing and teach nothing. 1,000 samples of 512 positions with 300 tokens on average
        are 512,000 positions and 300,000 tokens: whoever counts positions as tokens counts 1.7 times as
        many. Counted from a store they are no tokens; where only positions are known, solve and plan take
        them for tokens and say so. Duplicates that fill up the last batch are something else (dist-epochs
        explain padded-duplicates).
        """,
        ("pad", "pad token", "填充", "패딩", "パディング"),
    ),
    Entry(
        "parameter",
        "one number of the model that training changes",
        """
        BERT-base has 110M and Llama-7B 6.7B. Counts differ by whether embeddings and a tied head are in
        them, so say which; FLOPs a token are about 6 for each that is multiplied with. A frozen one takes
        4.
        """,
        ("model size", "weights", "参数", "參數", "파라미터", "매개변수", "パラメータ"),
    ),
)  # fmt: skip
"""Speed first, then what it is made of."""
