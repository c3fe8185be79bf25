"""One run from recipe to run directory: check, plan, train, save, reconcile."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from dist_epochs import __version__
from dist_epochs.corpus.files import new_folder
from dist_epochs.corpus.objective import Objective
from dist_epochs.corpus.planning import exact_plan, objective_of
from dist_epochs.corpus.store import Store
from dist_epochs.corpus.stream import held_out_batches
from dist_epochs.corpus.tokenizer import TextTokenizer
from dist_epochs.errors import InputError
from dist_epochs.ledger import Ledger
from dist_epochs.ledger.reconcile import Reconciliation, read_plan, read_run
from dist_epochs.ledger.rows import note_mirrored
from dist_epochs.plan.history import history_of, read_history
from dist_epochs.plan.plan import Plan
from dist_epochs.plan.plan_json import plan_json
from dist_epochs.plan.recipe import ModelRecipe, OptimizerRecipe, Recipe, read_recipe
from dist_epochs.plan.recipe_text import recipe_to_data, recipe_to_yaml
from dist_epochs.train.checkpoints import Checkpoints
from dist_epochs.train.evaluation import Evaluation
from dist_epochs.train.fitness import check_trainable, precision_of
from dist_epochs.train.launch import check_environment, check_launch, data_parallel_size
from dist_epochs.train.loop import Run, train
from dist_epochs.train.model import build_model, check_fit, model_config, settle_buckets, transformers_tokenizer
from dist_epochs.train.peers import connect, on_first
from dist_epochs.train.progress import ProgressBar
from dist_epochs.train.resume import Start, begun, check_same_plan, find_start, same_recipe, write_replan
from dist_epochs.train.saving import NotFinite, Saver
from dist_epochs.train.signals import StopSignals
from dist_epochs.train.tracking import Tracker, prepare_wandb
from dist_epochs.train.watchdog import Watchdog

__all__ = ["run_recipe"]

PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Setup:
    """A recipe that was found fit to train."""

    recipe: Recipe
    model: ModelRecipe
    optimizer: OptimizerRecipe
    store: Store
    tokenizer: TextTokenizer
    config: PretrainedConfig
    objective: Objective
    per_device: int


def run_recipe(
    path: Path,
    out: Path,
    overrides: Sequence[str] = (),
    *,
    resume: bool = False,
    replan: bool = False,
    say: Callable[[str], None] = print,
) -> None:
    """Train a recipe; every rank calls this.

    Args:
        path: The recipe.
        out: Run directory to make, or to go on with.
        overrides: `key=value` settings over the recipe.
        resume: Go on with the run in `out` where one was begun.
        replan: Go on with it, and let the recipe decide length, batch and learning from here on.
        say: Prints a line; called on rank 0 only.

    Raises:
        InputError: If recipe, store, launch or output do not fit; nothing is left behind.
        NotFinite: If the loss became NaN or infinite; the run is back at its last checkpoint.
        RankLost: If another rank is dead or frozen.
        RanksDiffer: If a checkpoint could not be written; the one before is as it was.
    """
    resumes = (resume or replan) and begun(out)
    recipe, replans = read_recipe(path, overrides), False
    if resumes:
        recipe, replans = same_recipe(recipe, out, replans=replan)
    setup = _check(recipe, path)
    accelerator = _connect(recipe, say)
    speak = say if accelerator.is_main_process else lambda _: None
    ranks = connect(2 * recipe.timeout_seconds + 60)
    checkpoints = Checkpoints(out / "checkpoints", ranks, recipe.checkpoints.keep)
    start, history = Start(), None
    if resumes:
        start = find_start(out, checkpoints)
        before = read_plan(out / "plan.json")
        history = history_of(before, start.step) if replans else read_history(before)
    size = data_parallel_size(accelerator)
    corpus, plan = exact_plan(recipe, setup.store, setup.objective, size, history=history)
    evaluation = _evaluation(setup, accelerator)
    if resumes:
        check_same_plan(plan, out, replans=replans)
        if not replans and (out / "model").is_dir() and start.is_finished(plan.steps):
            speak(f"{out}: finished already, after {plan.steps:,} steps; nothing was done")
            return
        on_first(ranks, lambda: write_replan(plan, out, start) if replans else None)
        checkpoints.set_aside(start.step)
    model = build_model(setup.model, setup.config, recipe.seed)
    optimizer = _adamw(model, setup.optimizer)
    if not resumes:
        _make_run_directory(out, recipe, plan, accelerator)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    model, optimizer = accelerator.prepare(model, optimizer)
    settle_buckets(model)
    tracker = _tracker(accelerator, recipe, plan, out, start, speak)
    where = f"{accelerator.num_processes} × {accelerator.device.type}"
    speak(f"{recipe.name}: {parameters:,} parameters, {plan.steps:,} steps on {where}")
    for line in start.told():
        speak(line)
    ledger = Ledger(
        out / "ledger.jsonl", ranks, totals=start.totals, segment=_segment(accelerator, plan, start, tracker)
    )
    watchdog = Watchdog(
        out,
        rank=ranks.rank,
        size=ranks.size,
        timeout=recipe.timeout_seconds,
        on_lost=lambda message: ledger.close("failed", message),
    )
    saver = Saver(
        recipe.checkpoints,
        checkpoints=checkpoints,
        ranks=ranks,
        accelerator=accelerator,
        model=model,
        optimizer=optimizer,
        ledger=ledger,
        plan=plan.fingerprint,
    )
    with StopSignals(lambda reason: ledger.close("stopped", reason)) as signals:
        run = Run(
            accelerator=accelerator,
            model=model,
            optimizer=optimizer,
            settings=setup.optimizer,
            causal=setup.model.objective == "causal",
            plan=plan_json(plan),
            skips_nan=recipe.on_nan == "skip",
            max_skipped=recipe.max_skipped,
            seed=recipe.seed,
            ledger=ledger,
            tracker=tracker,
            progress=ProgressBar(plan.steps, done=start.step, shown=accelerator.is_main_process),
            saver=saver,
            evaluation=evaluation,
            log_every=recipe.log_every,
            stop=signals.stop,
            alive=watchdog.mark,
        )
        with _ending(ledger, plan, signals, watchdog):
            if start.found is not None:
                saver.restore(start.found)
            tracker.log_again(start.rows)
            try:
                losses = train(run, corpus.windows(plan.batches, ranks.rank, start.step))
            except NotFinite as error:
                back = find_start(out, checkpoints)
                if back.found is None:
                    raise
                saver.restore(back.found)
                ledger.go_back(back.totals, _segment(accelerator, plan, back, tracker))
                _save(accelerator, model, setup, out)
                raise NotFinite(f"{error}; the run is back at step {back.step}") from None
            _save(accelerator, model, setup, out)
    if accelerator.is_main_process:
        result = read_run(out)
        tracker.summarize({"plan": plan_json(plan), "ledger": result.to_json(), "reconciliation": _verdict(result)})
        speak(losses)
        speak(_balance(result, out))
    accelerator.wait_for_everyone()
    accelerator.end_training()
    if accelerator.is_main_process:
        note_mirrored(out / "ledger.jsonl")
        watchdog.clear()


def _tracker(
    accelerator: Accelerator, recipe: Recipe, plan: Plan, out: Path, start: Start, say: Callable[[str], None]
) -> Tracker:
    """The mirror of the run, where the recipe asks for one."""
    return Tracker(
        accelerator,
        project=recipe.tracking.wandb if recipe.tracking else None,
        name=recipe.name,
        folder=out,
        config={"plan": plan_json(plan), "recipe": recipe_to_data(recipe)},
        run_id=start.tracked_as,
        say=say,
    )


@contextmanager
def _ending(ledger: Ledger, plan: Plan, signals: StopSignals, watchdog: Watchdog) -> Iterator[None]:
    """Write how the segment ended, whichever way it did."""
    try:
        with watchdog:
            try:
                yield
            except RuntimeError as error:  # a collective that broke does not say for whom
                lost = watchdog.blame()
                if lost is None:
                    raise
                raise lost from error
    except BaseException as error:
        with suppress(OSError):  # a full disk takes this line too
            ledger.close("failed", f"{type(error).__name__}: {error}"[:500])
        raise
    stopped = ledger.totals.last_step < plan.steps
    ledger.close("stopped" if stopped else "finished", signals.reason if stopped else None)


def _connect(recipe: Recipe, say: Callable[[str], None]) -> Accelerator:
    """The ranks of this launch, found to be those that were asked for."""
    check_environment(os.environ, precision=precision_of(recipe))
    if recipe.tracking:
        prepare_wandb(say if os.environ.get("RANK", "0") == "0" else lambda _: None)
    accelerator = Accelerator(
        gradient_accumulation_steps=1,
        mixed_precision=PRECISIONS[precision_of(recipe)],
        log_with="wandb" if recipe.tracking else None,
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(seconds=2 * recipe.timeout_seconds + 60))],
    )
    check_launch(accelerator, planned=recipe.batch.devices, environment=os.environ)
    _check_precision(recipe, accelerator)
    return accelerator


def _check(recipe: Recipe, path: Path) -> _Setup:
    """Everything that can be found wrong before processes meet."""
    missing = [name for name in ("model", "optimizer") if getattr(recipe, name) is None]
    if missing:
        raise InputError(f"{path}: missing {' and '.join(missing)}: a recipe without them can be planned, not trained")
    if recipe.corpus.store is None:
        raise InputError(
            f"{path}: corpus.store is not set: training reads a token store. Make one with "
            "`dist-epochs tokenize SOURCE --tokenizer T --out STORE`."
        )
    per_device = check_trainable(recipe, path)
    assert recipe.model is not None
    assert recipe.optimizer is not None
    store = Store(Path(recipe.corpus.store))
    tokenizer = store.tokenizer()
    config = model_config(recipe.model, tokenizer)
    check_fit(config, tokenizer, recipe.longest)
    objective = objective_of(recipe.model, store)
    return _Setup(
        recipe=recipe,
        model=recipe.model,
        optimizer=recipe.optimizer,
        store=store,
        tokenizer=tokenizer,
        config=config,
        objective=objective,
        per_device=per_device,
    )


def _check_precision(recipe: Recipe, accelerator: Accelerator) -> None:
    device = accelerator.device
    if recipe.precision == "fp16" and device.type != "cuda":
        raise InputError(f"precision: fp16 needs a GPU, and this run is on {device.type}. Use fp32 or bf16 here.")
    if recipe.precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise InputError(f"precision: {torch.cuda.get_device_name(device)} has no bf16. Use fp16 or fp32.")


def _evaluation(setup: _Setup, accelerator: Accelerator) -> Evaluation | None:
    recipe = setup.recipe
    if recipe.evaluation is None:
        return None
    sources = setup.store.sources(held_out=True)
    if not sources:
        raise InputError(
            f"evaluation is asked for and {setup.store.path} holds no held-out documents: make the store with "
            "`--held-out 1%`, or remove evaluation."
        )
    batches = held_out_batches(
        [source.packing(recipe.longest) for source in sources],
        setup.objective,
        devices=data_parallel_size(accelerator),
        rank=accelerator.process_index,
        per_device=setup.per_device,
        pad=setup.tokenizer.pad_id,
    )
    return Evaluation(tuple(batches), recipe.evaluation.every, setup.model.objective == "causal")


def _adamw(model: nn.Module, recipe: OptimizerRecipe) -> torch.optim.Optimizer:
    """AdamW; matrices decay, biases and norms do not."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=recipe.betas, eps=recipe.epsilon)


def _make_run_directory(out: Path, recipe: Recipe, plan: Plan, accelerator: Accelerator) -> None:
    """Rank 0 makes it, with everything in it at once; every rank hears whether that worked."""
    outcome: list[str | None] = [None]
    if accelerator.is_main_process:
        try:
            _write_run_directory(out, recipe, plan)
        except InputError as error:
            outcome = [str(error)]
        except OSError as error:
            outcome = [f"{error.filename or out}: {error.strerror}"]
    broadcast_object_list(outcome)
    if outcome[0] is not None:
        raise InputError(outcome[0])


def _write_run_directory(out: Path, recipe: Recipe, plan: Plan) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        hint = ", or go on with the run in it: --resume" if begun(out) else ""
        raise InputError(
            f"{out}: not empty. A run gets a new directory; nothing was changed. Choose another --out{hint}."
        )
    with new_folder(out) as folder:
        (folder / "recipe.yaml").write_text(recipe_to_yaml(recipe), encoding="utf-8")
        (folder / "plan.json").write_text(json.dumps(plan_json(plan), indent=1) + "\n", encoding="utf-8")


def _segment(accelerator: Accelerator, plan: Plan, start: Start, tracker: Tracker) -> dict[str, Any]:
    """Topology and versions of this segment, what it goes on from, and where it is mirrored."""
    packages = ("torch", "accelerate", "transformers")
    return {
        "world_size": accelerator.num_processes,
        "data_parallel_size": plan.batches[0].data_parallel_size,
        "device": accelerator.device.type,
        "precision": accelerator.mixed_precision,
        "plan": plan.fingerprint,
        "versions": {"dist-epochs": __version__, "python": platform.python_version()}
        | {p: version(p) for p in packages},
        **({"checkpoint": start.found.folder.name} if start.found else {}),
        **({"refused": list(start.refused)} if start.refused else {}),
        **({"wandb": tracker.run_id} if tracker.run_id else {}),
    }


def _save(accelerator: Accelerator, model: nn.Module, setup: _Setup, out: Path) -> None:
    """Model and tokenizer in transformers' format; the folder appears when it is complete."""
    state = accelerator.get_state_dict(model)
    if not accelerator.is_main_process:
        return
    disable_progress_bar()  # ours is the only one
    unwrapped: PreTrainedModel = accelerator.unwrap_model(model)
    try:
        with new_folder(out / "model") as folder:
            unwrapped.save_pretrained(folder, state_dict=state)
            transformers_tokenizer(setup.tokenizer, setup.recipe.longest).save_pretrained(folder)
    except Exception as error:  # a full disk comes as OSError, as SafetensorError, or as bare Exception
        raise InputError(f"{out / 'model'}: the trained model could not be saved: {error}") from None


def _verdict(result: Reconciliation) -> dict[str, Any]:
    return {"agrees": result.agrees, "differences": [difference.to_json() for difference in result.differences]}


def _balance(result: Reconciliation, out: Path) -> str:
    totals = result.totals
    trained = f"{totals.applied.steps:,} steps, {totals.applied.counts.tokens:,} tokens"
    if result.agrees:
        return f"the books balance: {trained}, as planned (dist-epochs ledger {out})"
    causes = ", ".join(dict.fromkeys(difference.cause for difference in result.differences))
    return f"{trained}; differs from the plan: {causes} (dist-epochs ledger {out})"
