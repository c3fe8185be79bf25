"""The flags of `dist-epochs plan` that are settings of a recipe."""

from __future__ import annotations

__all__ = ["FLAGS"]

FLAGS = {
    "How long: one of": {
        "steps": ("1M", "Optimizer steps."),
        "samples": ("256M", "Samples drawn in all."),
        "tokens": ("300B", "Tokens drawn in all, padding included."),
        "epochs": ("40", "Times the corpus is drawn."),
        "hours": ("72", "Hours from start to end (or '3 days')."),
        "flops": ("1e21", "Training FLOPs."),
        "money": ("5000", "What may be spent, in the currency of --price."),
    },
    "What is drawn": {
        "corpus": ("'3.3B words'", "Size of the corpus with its unit, a store, or another tool's tokens."),
        "tokens-per-word": ("1.24", "Tokens for one word of a corpus in words."),
        "temperature": ("2", "Mix sources by size to the power of 1 ÷ temperature."),
        "max-epochs": ("4", "Cap on how often a source may be repeated."),
        "batch": ("256x512", "What a step draws: samples × length, '4Mi tokens', or samples."),
        "global-batch": ("256", "Samples per step, over all devices."),
        "sequence-length": ("512", "Positions per sample."),
        "ramp": ("'16 8 5859375'", "Batch ramp as Megatron writes it: start, increment, samples."),
    },
    "How it is laid over devices": {
        "devices": ("8xH100", "Devices, with their kind if they are to be priced."),
        "per-device": ("8", "Samples per device and micro-step."),
        "gradient-accumulation": ("4", "Micro-steps per step."),
        "tensor-parallel": ("2", "Devices that share each layer."),
        "pipeline-parallel": ("2", "Devices that share the stack of layers."),
        "context-parallel": ("2", "Devices that share each sequence."),
        "expert-parallel": ("2", "Devices that share the experts."),
    },
    "Another trainer's loop": {
        "last-window": ("flush|carry|drop", "What happens to a partial window at the end of a pass."),
        "uneven": ("pad|drop|keep", "What happens where devices do not divide a pass."),
    },
    "What it costs": {
        "model": ("bert-base", "A size name, or a transformers config.json."),
        "parameters": ("7B", "Instead: the number of parameters, at 6 FLOPs each a token."),
        "precision": ("bf16", "fp32, bf16 or fp16."),
        "mfu": ("40%", "Model FLOPs utilization; default: a range."),
        "peak-tflops": ("989", "Dense peak of a device, where the table has another or none."),
        "tokens-per-second": ("1.2M", "Instead: measured, over all devices."),
        "price": ("2.5", "Price of one device for one hour."),
        "zero-stage": ("3", "ZeRO stage 0 to 3; FSDP is 3."),
        "restarts": ("4", "Restarts expected; needs --checkpoint-every."),
        "checkpoint-every": ("'2 hours'", "Hours between checkpoints."),
        "restart-time": ("0.5", "Hours from a failure to the next step."),
    },
}
"""Flags that are settings of a recipe, by section of the help: an example and what it is."""
