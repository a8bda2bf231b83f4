"""The nouns of the suite as frozen dataclasses: recipe, task, study, trial, suite.

Standard library only, so that reading results needs neither torch nor Ray.
"""

import dataclasses
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal

from tune_kmixup.core import asha
from tune_kmixup.core.errors import BadInput

Phase = Literal["search", "final"]

NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
FINAL_SEED_OFFSET = 1_000_000  # final runs never reuse a search seed


@dataclass(frozen=True)
class Recipe:
    """What is held fixed in training, for every method of a task alike.

    The learning rate rises linearly over `warmup_epochs` and falls to zero along a cosine. A last partial batch is
    dropped. `source` says where the numbers come from.
    """

    epochs: int
    batch_size: int
    lr: float
    weight_decay: float = 0.0
    optimizer: Literal["sgd", "adamw"] = "sgd"
    momentum: float = 0.9  # SGD only
    warmup_epochs: int = 0
    augment: Literal["none", "crop_flip", "shift_gain"] = "none"
    precision: Literal["float32", "bfloat16"] = "float32"
    cost: Literal["sqeuclidean", "euclidean"] = "sqeuclidean"  # of the pairing
    source: str = ""

    def __post_init__(self) -> None:
        for name, low in (("epochs", 1), ("batch_size", 1), ("warmup_epochs", 0), ("weight_decay", 0)):
            if getattr(self, name) < low:
                raise BadInput(f"{name}={getattr(self, name)} is too small: choose {name} ≥ {low}.")
        if self.lr <= 0:
            raise BadInput(f"lr={self.lr} is not positive: choose lr > 0.")


@dataclass(frozen=True)
class Task:
    """Data set + architecture + recipe + outer split.

    `train_size` cuts the training part down to so many rows (None: all). `outer_split` is None where the data set
    has an official test set, else the number of the cross-validation fold that is held out as test data.
    """

    dataset: str
    architecture: str
    recipe: Recipe
    train_size: int | None = None
    outer_split: int | None = None

    def __post_init__(self) -> None:
        for name in (self.dataset, self.architecture):
            if not NAME.fullmatch(name):
                raise BadInput(f"name={name!r} is not allowed: use lower-case letters, digits, '_', '-' and '.'.")
        for name in ("train_size", "outer_split"):  # parts of a path, and in a suite.json they may be anything
            if not isinstance(value := getattr(self, name), int | None):
                raise BadInput(f"{name}={value!r} is not allowed: choose a whole number, or None.")

    @property
    def base(self) -> str:
        """The name without the outer split, e.g. `digits-200/small_cnn`."""
        size = "" if self.train_size is None else f"-{self.train_size}"
        return f"{self.dataset}{size}/{self.architecture}"

    @property
    def name(self) -> str:
        """The full name, e.g. `iris/mlp@3`; also the folder of the task's results."""
        return self.base if self.outer_split is None else f"{self.base}@{self.outer_split}"


@dataclass(frozen=True)
class Study:
    """One task x one method: the coordinates left free and their ranges.

    `space` maps a coordinate to an Optuna distribution in Optuna's own JSON form; an empty space has one
    configuration, which needs no search.
    """

    task: Task
    method: str
    space: Mapping[str, Mapping[str, Any]] = field(hash=False)

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.method):
            raise BadInput(f"method={self.method!r} is not allowed: use lower-case letters, digits, '_', '-' and '.'.")

    @property
    def name(self) -> str:
        return f"{self.task.name}/{self.method}"


@dataclass(frozen=True)
class Suite:
    """The studies, budgets and seeds of one launch; frozen in the run directory as `suite.json`."""

    name: str
    studies: tuple[Study, ...]
    trials: int  # configurations tried per study with a free coordinate
    search_seeds: int  # runs per configuration, scored on validation data
    final_seeds: int  # runs of the selected configuration, scored on test data
    sampler: Literal["tpe", "random", "qmc", "gp", "grid"] = "tpe"
    seed: int = 0
    scheduler: Literal["none", "asha"] = "none"  # whether search trials are stopped early

    def __post_init__(self) -> None:
        if not self.studies:
            raise BadInput("studies=() is empty: name at least one task and one method.")
        for name in ("trials", "search_seeds", "final_seeds"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name}={getattr(self, name)} is too small: choose {name} ≥ 1.")
        names = [study.name for study in self.studies]
        if repeated := {name for name in names if names.count(name) > 1}:
            raise BadInput(f"studies={sorted(repeated)} appear more than once: name each task and method once.")

    def study(self, name: str) -> Study:
        return next(study for study in self.studies if study.name == name)

    def trial_count(self, study: Study) -> int:
        """Configurations to search: `trials`, or one where nothing is free."""
        return self.trials if study.space else 1

    def search_trial(self, study: Study, index: int, values: Mapping[str, float]) -> "Trial":
        seeds = tuple(self.seed + i for i in range(self.search_seeds))
        early = self.scheduler == "asha" and study.space  # one configuration has none to be compared with
        rungs = asha.rungs(study.task.recipe.epochs) if early else ()
        return Trial(study.name, index, "search", dict(values), seeds, rungs=rungs)

    def final_trials(
        self, study: Study, index: int, values: Mapping[str, float], done: Collection[int], at_once: int
    ) -> Iterator["Trial"]:
        """The final runs of configuration `index` whose seeds are not `done`, at most `at_once` to a trial."""
        seeds = [seed for i in range(self.final_seeds) if (seed := self.seed + FINAL_SEED_OFFSET + i) not in done]
        for start in range(0, len(seeds), at_once):
            yield Trial(study.name, index, "final", dict(values), tuple(seeds[start : start + at_once]))


@dataclass(frozen=True)
class Draft:
    """A suite before its data are known: what `SUITES` holds and the command line alters.

    `tasks` are names, with or without an outer split; `tune` names recipe values freed for every method alike;
    `epochs` replaces the recipes' own.
    """

    name: str
    tasks: tuple[str, ...]
    methods: tuple[str, ...] = ("erm", "mixup", "kmixup")
    trials: int = 16
    search_seeds: int = 3
    final_seeds: int = 10
    sampler: Literal["tpe", "random", "qmc", "gp", "grid"] = "tpe"
    seed: int = 0
    scheduler: Literal["none", "asha"] = "none"
    tune: tuple[str, ...] = ()
    epochs: int | None = None


@dataclass(frozen=True)
class Trial:
    """One configuration of a study, to be trained once per seed in one phase.

    `batched`: all seeds at once. `rungs`: numbers of epochs after which the run of the first seed is judged, and the
    trial perhaps stopped.
    """

    study: str
    index: int
    phase: Phase
    values: Mapping[str, float] = field(hash=False)
    seeds: tuple[int, ...] = ()
    batched: bool = False
    rungs: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """Names the trial within its study, e.g. `search-0003` or `final-0003-1000000`: the stem of its file."""
        return f"{self.phase}-{self.index:04d}" + (f"-{self.seeds[0]}" if self.phase == "final" else "")


@dataclass(frozen=True)
class Configuration:
    """What a run trains with: the values of a trial, with everything they leave out filled in from the recipe.

    `alpha` = 0 is ERM; `k` = 1 with `alpha` > 0 is mixup.
    """

    alpha: float
    k: int
    recipe: Recipe


def configuration(recipe: Recipe, values: Mapping[str, float]) -> Configuration:
    """Reads a trial's values: `alpha`, `k` or its exponent `log2_k`, `dummy` (ignored), and any field of the recipe.

    Raises BadInput for another name, alpha < 0 (or NaN), k < 1, or k above the batch size.
    """
    rest = dict(values)
    rest.pop("dummy", None)
    alpha = float(rest.pop("alpha", 0.0))
    k = 2 ** int(rest.pop("log2_k")) if "log2_k" in rest else int(rest.pop("k", 1))
    if unknown := rest.keys() - {f.name for f in dataclasses.fields(Recipe)}:
        raise BadInput(f"values={sorted(unknown)} are no coordinates: use alpha, k, log2_k, dummy or a recipe field.")
    recipe = dataclasses.replace(recipe, **rest)  # type: ignore[arg-type]
    if not 0 <= alpha < float("inf"):
        raise BadInput(f"alpha={alpha} is not a finite number ≥ 0: choose 0 for ERM, or α > 0.")
    if k < 1:
        raise BadInput(f"k={k} is too small: choose 1 for mixup, or more.")
    if k > recipe.batch_size:
        raise BadInput(f"k={k} does not fit batch_size={recipe.batch_size}: choose k ≤ {recipe.batch_size}.")
    return Configuration(alpha, k, recipe)


def derived_seed(*parts: object) -> int:
    """A 63-bit seed from what it is for; the same parts give the same seed on every machine and Python."""
    return int.from_bytes(blake2b(json.dumps(parts).encode(), digest_size=8).digest(), "big") >> 1


def to_json(suite: Suite) -> str:
    return json.dumps(dataclasses.asdict(suite), indent=1)


def from_json(text: str) -> Suite:
    """Reads what `to_json` wrote. Raises KeyError, TypeError or ValueError where it is something else."""
    raw = json.loads(text)
    studies = []
    for study in raw.pop("studies"):
        task = study["task"]
        task["recipe"] = Recipe(**task["recipe"])
        studies.append(Study(Task(**task), study["method"], study["space"]))
    return Suite(studies=tuple(studies), **raw)
