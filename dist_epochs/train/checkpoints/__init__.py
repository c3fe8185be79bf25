"""The state of a run on the disk: complete, verified, and readable by any number of ranks."""

from dist_epochs.train.checkpoints.folder import Checkpoints, Found
from dist_epochs.train.checkpoints.manifest import Damaged, Manifest
from dist_epochs.train.checkpoints.state import own_part, restore, whole_tensor

__all__ = ["Checkpoints", "Damaged", "Found", "Manifest", "own_part", "restore", "whole_tensor"]
