"""Streams prepared by Accelerate on forked ranks: the sizes of every rank's micro-batches, as JSON."""

import json
import sys
from pathlib import Path

import torch
import torch._dynamo  # forked ranks would each import it
from accelerate import Accelerator, debug_launcher

CASES = [
    (samples, per_device, drops)
    for samples in (2, 3, 5, 7, 25, 50, 280)
    for per_device in (1, 4, 8)
    for drops in (False, True)
]


class Stream(torch.utils.data.IterableDataset):
    def __init__(self, samples):
        self.samples = samples

    def __iter__(self):
        return iter(torch.arange(self.samples))


def iterate(folder):
    accelerator = Accelerator(cpu=True)
    cases = []
    for samples, per_device, drops in CASES:
        if drops and samples < per_device * accelerator.num_processes:
            continue  # nothing is drawn, and the dispatcher breaks
        loader = torch.utils.data.DataLoader(Stream(samples), batch_size=per_device, drop_last=drops)
        sizes = torch.tensor([len(batch) for batch in accelerator.prepare(loader)])
        ranks = accelerator.gather(sizes).reshape(accelerator.num_processes, -1).tolist()
        cases.append([samples, per_device, drops, ranks])
    if accelerator.is_main_process:
        found = {"processes": accelerator.num_processes, "cases": cases}
        Path(folder, f"{accelerator.num_processes}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    torch.set_num_threads(1)
    for processes in (2, 3):
        debug_launcher(iterate, args=(sys.argv[1],), num_processes=processes)
