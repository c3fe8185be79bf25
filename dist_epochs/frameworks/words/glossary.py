"""The glossary of `docs/words.md`: the words of this project, each with the same sentence as there."""

from __future__ import annotations

from dist_epochs.frameworks.words.entry import Entry

__all__ = ["GLOSSARY"]

GLOSSARY: tuple[Entry, ...] = (
    Entry(
        "document",
        "one entry of the source corpus; entries without text are counted apart and not stored",
        also=("文档", "文檔", "문서", "文書"),
    ),
    Entry(
        "word",
        "whitespace-separated piece of a document",
        also=("单词", "單詞", "단어", "単語"),
    ),
    Entry(
        "token",
        "one id of a document; special tokens are added once per document and count, padding never",
        """
        Tokens are what the model sees, not words: BERT's vocabulary makes 1.24 of a word of WikiText-2,
        so 3.3B words are 4.09B tokens. `256 × 512 = 131,072 tokens a batch` in papers are positions:
        tokens only if nothing is padded. A bare `T` never means tokens: `300B T` is refused, and `2T` are
        2 trillion.
        """,
        ("词元", "令牌", "標記", "토큰", "トークン", "subword", "piece"),
    ),
    Entry(
        "sample",
        "what the loader yields once: a packed sequence, an image, a row. `sequences`, `rows`, `examples` and "
        "`images` are read as the same",
        also=("example", "sequence", "row", "image", "样本", "樣本", "샘플", "표본", "サンプル", "標本"),
    ),
    Entry(
        "position",
        "a place in a batch, padding included: samples × sequence length. What papers multiply and call tokens",
    ),
    Entry(
        "loss-token",
        "a token that the loss counts (label ≠ −100)",
    ),
    Entry(
        "source",
        "a corpus, or one of several that a mixture draws from",
    ),
    Entry(
        "store",
        "a tokenized corpus on disk: ids, document lengths, counts and packings",
    ),
    Entry(
        "packing",
        "which documents share a sample; fixed once for each sequence length and strategy",
        """
        Documents of 300, 150 and 60 tokens fill one sample of 512 with 2 of padding, where one sample
        each would have 1,026. Attention then has to stop at the document's end. Concatenating everything
        and cutting it into pieces leaves no padding and cuts documents; padding each to the length, or
        truncating it, wastes or loses the rest.
        """,
        ("sequence packing", "sample packing", "打包", "패킹", "パッキング"),
    ),
    Entry(
        "cut",
        "a document is cut if it is not whole in one sample; its end is truncated, or the rest of a batch of documents "
        "is dropped, if these tokens are in no sample",
        also=("truncated", "dropped"),
    ),
    Entry(
        "block",
        "neighbouring documents of a store, at most 1.75 Mi tokens. Documents are packed within a block, and blocks "
        "are shuffled; other strategies than best-fit have blocks of their own",
    ),
    Entry(
        "held-out",
        "kept for evaluation, chosen by a hash of the text, and in no count of the corpus",
        also=("validation set", "evaluation set"),
    ),
    Entry(
        "micro-step",
        "one forward and backward pass of one micro-batch, on each device",
        also=("micro step", "microstep"),
    ),
    Entry(
        "window",
        "the micro-steps between two optimizer updates: as many as the gradient accumulation says, fewer where a "
        "pass ends",
    ),
    Entry(
        "drawn",
        "taken from the data, whether it was trained or not",
    ),
    Entry(
        "applied",
        "with a weight update; without one, because the gradient overflowed (fp16) or was not finite (`on_nan: skip`)",
        also=("skipped",),
    ),
    Entry(
        "replayed",
        "drawn again, because a crash lost the steps after a checkpoint",
    ),
    Entry(
        "unfinished",
        "begun, and cut off by a crash before it was applied or skipped",
    ),
    Entry(
        "data-parallel-size",
        "devices that see different data: devices ÷ (tensor × pipeline × context parallel), never all devices as such",
        """
        64 devices with tensor parallelism of 8 and pipeline parallelism of 2 are 64 ÷ 16 = 4.
        """,
        ("dp size",),
    ),
    Entry(
        "global-batch",
        "samples per step, over all devices",
        """
        256 = 8 devices × 8 per device × 4 micro-steps. In positions, times the sequence length: 256 × 512
        = 131,072.
        """,
        ("global batch size", "global_batch_size", "gbs", "全局批大小", "全局批次大小", "글로벌 배치",
         "グローバルバッチ"),
    ),
    Entry(
        "lane",
        "one place of the global batch. The shuffled samples are divided among the lanes, and a step takes the "
        "next sample of each",
    ),
    Entry(
        "phase",
        "a part of the recipe with one sequence length, one batch and one mixture of sources",
    ),
    Entry(
        "curriculum",
        "phases that draw other sources, or other shares of them",
    ),
    Entry(
        "temperature",
        "T, where a source is drawn in proportion to its size to the power of 1 ÷ T; multilingual papers "
        "write α = 1 ÷ T",
        also=("sampling temperature",),
    ),
    Entry(
        "ramp",
        "a global batch that grows over the run",
        also=("batch size warmup", "batch ramp", "rampup-batch-size"),
    ),
    Entry(
        "pass",
        "one full round of a source",
        """
        A pass of 101 samples in batches of 8 is 13 steps, or 12.625 where batches run on into the next
        pass.
        """,
        ("full pass", "pass over the data", "遍"),
    ),
    Entry(
        "coverage",
        "share of the documents drawn at least once (of samples, where no store is planned)",
        also=("covered",),
    ),
    Entry(
        "equivalent-unique-epochs",
        "how many epochs of new data would help as much as the epochs of the same data, by the data-constrained "
        "law; `equivalent` in a plan",
    ),
    Entry(
        "last_window",
        "what other people's loops do with a partial window at the end of a pass: `flush` steps with it, `carry` "
        "takes it into the next pass, `drop` never steps it",
    ),
    Entry(
        "uneven",
        "what they do where devices do not divide the data: `pad` (with duplicates), `drop` the rest, or `keep` it",
    ),
    Entry(
        "replacement",
        "whether sampling is with replacement; an epoch is then a number of draws",
        also=("sampling with replacement",),
    ),
    Entry(
        "recipe",
        "a YAML file that says what to train: corpus, batch, phases, model, optimizer",
    ),
    Entry(
        "plan",
        "the integers that follow from a recipe before it runs, each with its formula",
    ),
    Entry(
        "budget",
        "the size of the whole run, of which phases take shares",
    ),
    Entry(
        "sensitivity",
        "how far the answer moves if one assumption is changed",
    ),
    Entry(
        "warning",
        "what a plan or a running loop says by name; a note needs no action. `dist-epochs explain NAME` has a "
        "page for each",
        also=("note",),
    ),
    Entry(
        "finding",
        "what will go wrong at a launch, with the file, the line and a fix",
    ),
    Entry(
        "cause",
        "why a framework's count differs from the true one, or the ledger from the plan",
    ),
    Entry(
        "re-plan",
        "another plan for the rest of a run, from a checkpoint on (`--replan`)",
    ),
    Entry(
        "fingerprint",
        "a hash of what decides the samples: corpus, tokenizer, packing, order, masks, seed, phases and global "
        "batch; not devices, accumulation or precision",
    ),
    Entry(
        "ledger",
        "the record of a run, `ledger.jsonl`: every step, appended and never rewritten",
    ),
    Entry(
        "segment",
        "a stretch of a run between two starts of the program, with one topology and one version of the code",
    ),
    Entry(
        "digest",
        "128 bits that are equal exactly if the same samples were drawn the same number of times, in any order, "
        "on any number of devices",
    ),
    Entry(
        "reconciliation",
        "the plan compared with the ledger: each unit is equal, or the difference is itemised by cause",
    ),
    Entry(
        "goodput",
        "the share of the computed tokens that counted in the end",
        """
        1,000 steps applied and 50 done again after a crash: 1,000 ÷ 1,050 = 95.2 %. Elsewhere it is often
        a share of time: the hours in which the run made progress ÷ all that were paid for, start-up and
        repairs included.
        """,
        ("有效吞吐", "굿풋", "グッドプット"),
    ),
    Entry(
        "claim",
        "what a paper, a model card or a person says of a run",
    ),
    Entry(
        "fact",
        "a number of a claim as it was printed, with its unit and precision",
    ),
    Entry(
        "check",
        "a stated result, and the formula that derives it from facts",
    ),
    Entry(
        "agreement",
        "how derived and stated number compare: exact, rounds, overlaps, contradicts",
    ),
    Entry(
        "reading",
        "one way to understand a claim. The *literal* reading takes it as printed; others replace facts or "
        "assumptions by name",
    ),
    Entry(
        "verdict",
        "what follows from the agreements of all readings, by rule",
    ),
    Entry(
        "slip",
        "a kind of mistake in writing a number, such as a zero too many or a value per device for one over all devices",
    ),
    Entry(
        "suspect",
        "a number of the claim that, changed by one slip, would remove every contradiction",
    ),
    Entry(
        "recalled",
        "remembered and not read; stated nowhere. A contradiction that rests on such a number never makes a "
        "verdict inconsistent",
        also=("assumed",),
    ),
)  # fmt: skip
"""In the order of the tables there; step and epoch are among the terms."""
