"""From text to the batches of a run: tokens, packing, order, counts."""
