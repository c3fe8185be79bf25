"""The Accelerate loop: a recipe in, a run directory out."""
