"""One file per tool whose configuration is read."""
