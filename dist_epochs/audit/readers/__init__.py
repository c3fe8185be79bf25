"""One file per record of a finished run."""
