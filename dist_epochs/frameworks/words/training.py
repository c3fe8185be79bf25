"""Words for how a run goes: methods, schedules, and the counters of other tools."""

from __future__ import annotations

from dist_epochs.frameworks.words.entry import Entry

__all__ = ["TRAINING"]

TRAINING: tuple[Entry, ...] = (
    Entry(
        "gradient-descent",
        "each update uses all examples",
        """
        100 examples and 500 epochs are 500 updates, one a pass. Also called batch or full-batch gradient
        descent; an iteration, a step and an epoch are then the same number, which is why textbooks use
        the words freely.
        """,
        ("gd", "batch gradient descent", "full-batch gradient descent", "full batch", "梯度下降", "梯度下降法",
         "경사 하강법", "경사하강법", "勾配降下法", "最急降下法", "バッチ勾配降下法"),
    ),
    Entry(
        "sgd",
        "stochastic gradient descent: each update uses one example, or, as the word is used today, a mini-batch",
        """
        Strictly, 100 examples are 100 updates in a pass, and 50,000 in 500 passes. In a textbook the
        example is drawn at random: after 500 updates one example has been drawn 5 times on average, and
        0.66 % were never drawn. Optimizers named SGD (torch.optim.SGD) only mean the rule of the update,
        without Adam's averages; how many examples it sees is the loader's batch size.
        """,
        ("stochastic gradient descent", "stochastic", "随机梯度下降", "隨機梯度下降", "확률적 경사 하강법",
         "확률적 경사하강법", "確率的勾配降下法"),
    ),
    Entry(
        "learning-rate",
        "the factor of the move that one update makes",
        """
        Also called step size, the reason why "step" is a length in some texts and a count in others. It
        is set for each update by the schedule; a larger global batch usually takes a larger one, by no
        fixed rule (its square root and the proportion are both used).
        """,
        ("lr", "step size", "学习率", "學習率", "학습률", "学習率"),
    ),
    Entry(
        "learning-rate-schedule",
        "the learning rate as a function of the step: a warm-up, then a decay to the planned last step",
        """
        It has to know the number of steps in advance: cosine decay to zero at step 100,000 is at half its
        peak at 50,000. A run that is stopped early never had the small rates, and one whose scheduler
        advances once a process or once a micro-batch is through too soon (dist-epochs explain
        scheduler-times-processes). Here it follows applied steps.
        """,
        ("learning rate scheduler", "lr scheduler", "lr schedule", "scheduler", "cosine decay", "decay",
         "学习率调度", "学习率衰减", "학습률 스케줄", "학습률 스케줄러", "学習率スケジューラ",
         "学習率スケジュール"),
    ),
    Entry(
        "warm-up",
        "the first steps, over which the learning rate rises to its peak",
        """
        Counted in optimizer steps: with 2,000 of them and a peak of 3e-4, step 500 has 3e-4 × 500 ÷ 2,000
        = 7.5e-5. As a share it is of all steps: 3 % of 100,000 are 3,000. These steps draw samples and
        count as any others (dist-epochs explain warmup-beyond-the-run). A batch that grows at the start
        is another thing: a ramp.
        """,
        ("warmup", "warmup steps", "warmup_ratio", "learning rate warmup", "预热", "預熱", "热身", "웜업", "워밍업",
         "워머업", "ウォームアップ"),
    ),
    Entry(
        "steps-per-epoch",
        "optimizer steps of one pass over the data",
        """
        samples ÷ global batch: 101 samples in batches of 8 are 13 steps (the last one with 5), 12 if the
        rest is dropped, and 12.625 on average where batches run on across passes. With accumulation
        divide by that too. In Keras steps_per_epoch is a setting: an epoch then ends after so many
        batches, wherever the data is. `500 steps per epoch` and 500 steps in all are two numbers, and are
        read as such: dist-epochs solve --steps '500 steps per epoch' --epochs 3.
        """,
        ("steps an epoch", "batches per epoch", "iterations per epoch", "updates per epoch", "每轮步数",
         "에폭당 스텝", "에포크당 스텝", "エポックあたりのステップ数"),
    ),
    Entry(
        "max_steps",
        "the number of optimizer steps after which the HF Trainer stops; it overrides num_train_epochs",
        """
        With 1,000 samples, a global batch of 32 and num_train_epochs=3 there are 3 × 32 = 96 steps; with
        max_steps=100 the data is gone through again until there are 100, and its epoch is 100 ÷ 32 =
        3.125. A stream has no length, so there max_steps is needed, and epochs are fractions of it
        (dist-epochs explain stream-epoch).
        """,
        ("num_train_epochs", "max_epochs", "train-iters", "train_iters", "num_train_steps", "total steps",
         "训练步数", "총 스텝", "総ステップ数"),
    ),
    Entry(
        "global_step",
        "the count of optimizer steps since the run began, over all epochs and restarts",
        """
        In the HF Trainer, Lightning and TensorFlow 1. It counts updates, not micro-batches: 1,000 batches
        with an accumulation of 4 are 250. It is the same on all ranks. Lightning adds the steps of all
        optimizers, so two of them double it.
        """,
        ("global step", "optimizer.iterations", "全局步数", "글로벌 스텝", "グローバルステップ"),
    ),
    Entry(
        "max_iter",
        "scikit-learn's limit of iterations, which are passes or updates, as the solver has it",
        """
        Measured on 1.9.1 with 100 examples and max_iter=500, without early stop: SGDClassifier makes 500
        passes and 50,000 updates; MLPClassifier with batch_size=10 makes 500 passes and 5,000 updates.
        With lbfgs an iteration is a step of the solver with all examples, and it ends when it has
        converged, here after 9.
        """,
        ("n_iter", "n_iter_", "scikit-learn", "sklearn"),
    ),
    Entry(
        "shuffling",
        "drawing the samples of each pass in another order",
        """
        Without replacement every sample comes once a pass, in whatever order, so the counts do not
        change: 101 samples in 3 passes are 303 draws. With replacement they do: after one epoch of draws,
        36.8 % of the samples were never drawn (dist-epochs explain with-replacement).
        """,
        ("shuffle", "random sampling", "打乱", "셔플", "シャッフル"),
    ),
    Entry(
        "checkpoint",
        "the state of a run on disk, from which it goes on",
        """
        What was done after the last one is lost in a crash and done again: with a checkpoint every 1,000
        steps, a crash costs 500 steps on average. Those are replayed steps, and no epochs. Not to be
        confused with activation checkpointing, which recomputes activations to save memory.
        """,
        ("checkpointing", "save_steps", "检查点", "檢查點", "체크포인트", "チェックポイント"),
    ),
)  # fmt: skip
"""Methods first, then schedules and counters."""
