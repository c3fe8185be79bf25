"""Train one recipe on forked gloo ranks, several worlds in one process.

`python worlds.py RECIPE OUT 1,2,3,4 [KEY=VALUE…]`

Forked ranks start in a second where launched ones take ten; the parent must have imported what they
need and run on one thread.
"""

import sys
from pathlib import Path

import torch
import torch._dynamo
from accelerate import debug_launcher

from dist_epochs.train.run import run_recipe


def main() -> None:
    recipe, out, worlds, *overrides = sys.argv[1:]
    torch.set_num_threads(1)
    for world in map(int, worlds.split(",")):
        debug_launcher(run_recipe, (Path(recipe), Path(out) / str(world), overrides), num_processes=world)


if __name__ == "__main__":
    main()
