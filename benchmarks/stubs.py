"""Tasks whose training takes a known time: for measuring how a launch is organised, not what it computes.

`benchmarks/utilisation.py` and `benchmarks/scale.py` load them with `--load`. The network is one linear layer that
sleeps in every training step, on iris: `iris/sleep-200` takes 200 ms a run, in one step.
"""

import time

import torch
from torch import nn

from search_spaces.tasks import TASKS
from tune_kmixup.core.config import Recipe, Task
from tune_kmixup.models.architectures import ARCHITECTURES, Shape

STEP_SECONDS = 0.2
RUN_SECONDS = (0.2, 2, 5, 10, 20)


class Sleeper(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            time.sleep(STEP_SECONDS)
        return super().forward(x.flatten(1))


def sleeper(shape: Shape, classes: int) -> nn.Module:
    return Sleeper(torch.Size(shape).numel(), classes)


for seconds in RUN_SECONDS:
    name = f"sleep-{round(1000 * seconds)}"
    ARCHITECTURES[name] = sleeper
    recipe = Recipe(epochs=round(seconds / STEP_SECONDS), batch_size=90, lr=0.1, source="a stub")
    TASKS[f"iris/{name}"] = (Task("iris", name, recipe, outer_split=0),)
