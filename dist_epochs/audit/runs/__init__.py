"""Finished runs of any trainer: what their files say, held against what is claimed of them."""
