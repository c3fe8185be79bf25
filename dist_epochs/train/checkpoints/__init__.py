"""The state of a run on the disk: complete, verified, and readable by any number of ranks."""

from dist_epochs.train.checkpoints.finite import NotFinite
from dist_epochs.train.checkpoints.folder import Checkpoints, Found
from dist_epochs.train.checkpoints.manifest import Manifest
from dist_epochs.train.checkpoints.state import restore, tensors_of, weights
from dist_epochs.train.checkpoints.tensor_file import Damaged

__all__ = ["Checkpoints", "Damaged", "Found", "Manifest", "NotFinite", "restore", "tensors_of", "weights"]
