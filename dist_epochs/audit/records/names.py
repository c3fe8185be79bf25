"""What a reader of runs may find, by name, and the kinds of runs."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["FURTHER", "KINDS", "NAMES"]

NAMES: Mapping[str, str] = {
    "steps": "optimizer steps reached",
    "planned_steps": "optimizer steps that were to be made",
    "epochs": "passes over the corpus, as the run counted them",
    "planned_epochs": "passes that were to be made",
    "stream_epoch": "the Trainer's own epoch of data without a length, which counts no data",
    "samples": "samples drawn, over all devices",
    "corpus": "samples of the training set, as the run counted them",
    "planned_samples": "samples that were to be drawn, over all devices",
    "tokens": "tokens drawn, over all devices, as the run counted them",
    "global_batch": "samples of a step, over all devices",
    "per_device": "samples of a micro-step, on one device",
    "gradient_accumulation": "micro-steps of a step",
    "devices": "all devices",
    "data_parallel_size": "devices that see different data",
    "tensor_parallel": "devices that share each layer",
    "pipeline_parallel": "devices that share the stack of layers",
    "context_parallel": "devices that share each sequence",
    "sequence_length": "positions of a sample",
    "steps_per_epoch": "steps ÷ passes, inside the first pass",
    "whole_steps_per_epoch": "steps ÷ passes, at the end of passes",
    "largest_batch": "samples of a step, over all devices, where they change: the most",
    "last_batch": "the same, at the end",
    "segment_samples": "samples drawn between logged lines, over all devices",
    "segment_batches": "steps between logged lines × their batch",
    "timed_samples": "samples of the steps that were timed, over all devices",
    "rated_steps": "steps that the logged samples a second are of",
    "paced_steps": "the same, as far as the logged steps a second tell",
    "timed_tokens": "tokens of the steps that were timed, over all devices",
    "timed_steps": "steps that were timed",
    "seconds": "seconds of the steps that were timed",
    "samples_per_second": "samples a second, over all devices, as the run logged it",
    "tokens_per_second": "tokens a second, over all devices, as the run logged it",
    "tflops_per_device": "10¹² FLOP/s of one device, as the run logged it (mean over its steps)",
    "total_flops": "FLOPs of the whole run, as the run counted them",
}
"""What a reader may find, with its meaning and scope."""

KINDS: Mapping[str, str] = {
    "hf-trainer": "Hugging Face Trainer",
    "hf-console": "console of the Hugging Face Trainer",
    "wandb": "wandb",
    "megatron": "Megatron-LM log",
    "gpt-neox": "GPT-NeoX log",
    "nemo": "NeMo 2 log",
    "olmo": "OLMo log",
    "dist-epochs": "our own ledger",
    "hf-results": "results of the Hugging Face Trainer",
    "model-card": "model card of the Hugging Face Trainer",
    "llamafactory": "LLaMA-Factory log",
    "tfevents": "TensorBoard events",
    "lightning": "Lightning metrics",
    "nanogpt": "nanoGPT log",
    "torchtitan": "torchtitan log",
    "deepspeed": "DeepSpeed log",
}
"""What wrote the files of a run, and what it is called."""

FURTHER: Mapping[str, str] = {
    "passes_begun": "passes that were begun, the running one among them",
    "tokens_per_step": "tokens of a step, over all devices",
    "tokens_per_dp_rank": "tokens of a micro-step, on the devices of one data-parallel rank",
    "micro_steps_per_pass": "micro-steps of a pass, on one device",
    "steps_of_first_pass": "steps of the first pass",
    "begun_at_step": "the step that the last start went on from",
    "steps_made_here": "steps that the last start made",
    "steps_of_this_call": "the same, as its closing summary tells",
    "last_row_step": "the step of the last row that was logged",
    "logged_every": "steps between logged rows",
    "hparams_batch_size": "batch_size as the user saved it, mostly samples of a micro-step on one device",
    "skipped": "steps without an update (fp16 overflow), which drew their batch",
    "applied": "steps with an update",
    "batch": "samples of a step, over all devices, as rate and time tell",
    "training_rows": "rows of training",
    "rate_usable": "whether the logged rates are those of steps that were made",
    "finished": "whether the closing summary was logged",
}
"""What a reader may find beside, that no check uses."""
