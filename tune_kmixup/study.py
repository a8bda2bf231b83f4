"""What a `--load` file imports to define tasks: the public names of `tune_kmixup.core`."""

from tune_kmixup.core.config import Draft, Recipe, Study, Suite, Task, Trial
from tune_kmixup.core.errors import BadInput

__all__ = ["BadInput", "Draft", "Recipe", "Study", "Suite", "Task", "Trial"]
