"""`python -m dist_epochs` is the command `dist-epochs`."""

from dist_epochs.cli.main import main

main()
