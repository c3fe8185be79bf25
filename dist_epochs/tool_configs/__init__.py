"""Readers of other tools' settings files: DeepSpeed, Accelerate, and Hugging Face's TrainingArguments."""
