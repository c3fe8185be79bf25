"""Finished runs of any trainer: what their files say, compared with what is claimed of them."""
