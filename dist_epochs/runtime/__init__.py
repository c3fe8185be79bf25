"""Torch at run time: the other ranks, numbers on their way from a device, and batches of other people's loops."""
