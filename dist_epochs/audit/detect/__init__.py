"""Which format a file is of, and which files of a folder belong to one run."""
