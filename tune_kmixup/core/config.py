"""Recipe, task, study, suite, draft, claims, identity and trial as frozen dataclasses, and their JSON.

Standard library only, so that reading results needs neither torch nor Ray.
"""

import dataclasses
import json
import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

from tune_kmixup.core import asha
from tune_kmixup.core.checks import MOST, check_choice, check_fields, check_type, shown
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.methods import CLAIM_METHODS
from tune_kmixup.core.source import Source
from tune_kmixup.core.space import Distribution, parse, point_count

Phase = Literal["search", "shortlist", "final"]
Device = Literal["cpu", "cuda"]
Precision = Literal["float32", "bfloat16"]  # of the forward pass
Sampler = Literal["tpe", "random", "qmc", "gp", "grid"]
Scheduler = Literal["none", "asha"]
SelectBy = Literal["error", "nll", "balanced_error"]  # names of columns, without `val_`

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_.-]*")  # names become parts of paths
CLAIM_NUMBERS = ("1", "2", "3", "4")
MAX_ROWS = 10**9  # of a data set
MAX_SEED = 2**63 - 1
MAX_REPEATS = 10_000
OUTER_FOLDS = 5  # of the cross-validation of data sets without an official test set
TOY_SETS = 25  # independently drawn data sets of a toy task
FINAL_SEED_OFFSET = 1_000_000  # keeps the seeds of final runs apart from those of search runs


@dataclass(frozen=True)
class Recipe:
    """The training settings that are the same for every method of a task.

    Attributes:
        epochs: epochs of one training, ≥ 1.
        batch_size: rows per batch, ≥ 1. An incomplete last batch of an epoch is dropped.
        lr: peak learning rate, > 0. It rises linearly over `warmup_epochs`, then falls to zero along a cosine.
        weight_decay: ≥ 0.
        optimizer: `sgd` or `adamw`.
        momentum: momentum of SGD, 0 to 1; AdamW ignores it.
        warmup_epochs: epochs of warm-up, ≥ 0; of a suite less than `epochs`.
        augment: name of the augmentation.
        precision: number format of the forward pass.
        cost: cost of a pair in the pairing of k-mixup, from the distance between its inputs.
        source: where the numbers come from.

    Raises:
        BadInput: if a value is of another type, not among the choices, or out of range.
    """

    epochs: int
    batch_size: int
    lr: float
    weight_decay: float = 0.0
    optimizer: Literal["sgd", "adamw"] = "sgd"
    momentum: float = 0.9
    warmup_epochs: int = 0
    augment: Literal["none", "crop_flip", "shift_gain"] = "none"
    precision: Precision = "float32"
    cost: Literal["sqeuclidean", "euclidean"] = "sqeuclidean"
    source: str = ""

    def __post_init__(self) -> None:
        check_fields(
            self,
            epochs=(1, MOST),
            batch_size=(1, MOST),
            lr=(0, math.inf),
            weight_decay=(0, math.inf),
            momentum=(0, 1),
            warmup_epochs=(0, MOST),
        )
        if self.lr == 0:
            raise BadInput(f"lr={self.lr} is not positive: choose lr > 0.")

    def steps_per_epoch(self, rows: int) -> int:
        """How many batches an epoch over so many training rows has."""
        return rows // self.batch_size


@dataclass(frozen=True)
class Task:
    """A data set, an architecture, a recipe and an outer split.

    Attributes:
        dataset: key of DATASETS.
        architecture: key of ARCHITECTURES.
        recipe: how to train.
        train_size: number of training rows to keep; None keeps all.
        outer_split: number of the cross-validation fold that is held out as test data, of the draw of a toy data
            set, or, where the test set is official or a holdout, of the repeat: an independent draw of validation
            rows, and with `train_size` of training rows. None: all repeats, or the one search of format 1.
        val_rows: number of validation rows; None takes the data set's default share.
        overlap: expected share of a repeat's training rows that another repeat trains on too, between 0 and 1. Filled
            in when a suite is built, of tasks with an official test set or a holdout; None of others.
        holdout: whether half of the rows are set aside as test rows that all outer splits share, in place of
            cross-validation. For data sets without an official test set.
        label_noise: share of the training rows whose label is replaced by a random other class, from 0 to below 1.
            Validation and test rows keep their labels.

    Raises:
        BadInput: if a value is of another type or out of range, or a name could not be part of a path.
    """

    dataset: str
    architecture: str
    recipe: Recipe
    train_size: int | None = None
    outer_split: int | None = None
    val_rows: int | None = None
    overlap: float | None = None
    holdout: bool = False
    label_noise: float = 0.0

    def __post_init__(self) -> None:
        shares = {"overlap": (0, 1), "label_noise": (0, 1)}
        check_fields(self, train_size=(1, MAX_ROWS), outer_split=(0, MOST), val_rows=(1, MAX_ROWS), **shares)
        if self.label_noise == 1:
            raise BadInput(f"label_noise={self.label_noise} leaves no true label: choose a share below 1.")
        for name in (self.dataset, self.architecture):
            if not NAME_PATTERN.fullmatch(name):
                raise BadInput(f"name={name!r} is not allowed: use lower-case letters, digits, '_', '-' and '.'.")

    @property
    def base(self) -> str:
        """The name without the outer split, e.g. `digits-200/small_cnn` or `mnist-500-noise0.2/mlp`."""
        size = "" if self.train_size is None else f"-{self.train_size}"
        return f"{self.dataset}{size}{self._noise}/{self.architecture}"

    @property
    def population(self) -> str:
        """What the rows are drawn from, e.g. `mnist-noise0.2`: noisy and clean labels count as two data sets."""
        return f"{self.dataset}{self._noise}"

    @property
    def _noise(self) -> str:
        return f"-noise{self.label_noise!r}" if self.label_noise else ""

    @property
    def name(self) -> str:
        """The full name, e.g. `iris/mlp@3`; also the folder of the task's results."""
        return self.base if self.outer_split is None else f"{self.base}@{self.outer_split}"

    @property
    def columns(self) -> dict[str, Any]:
        """The columns of a row that follow from the task."""
        return {
            "task": self.base,
            "dataset": self.population,
            "architecture": self.architecture,
            "outer_split": self.outer_split,
            "shared_test": self.overlap is not None,
        }


class StudyName(NamedTuple):
    """The name of a study, `iris/mlp@3/mixup`, in its parts.

    Attributes:
        task: name of the task without its outer split, `iris/mlp`.
        outer_split: its number; None if the task has none.
        method: key of METHODS.
    """

    task: str
    outer_split: int | None
    method: str

    @classmethod
    def parse(cls, name: str) -> "StudyName":
        task, _, method = name.rpartition("/")
        base, _, split = task.partition("@")
        return cls(base, int(split) if split else None, method)

    @property
    def task_name(self) -> str:
        """The task with its outer split, `iris/mlp@3`."""
        return self.task if self.outer_split is None else f"{self.task}@{self.outer_split}"

    def __str__(self) -> str:
        return f"{self.task_name}/{self.method}"


@dataclass(frozen=True)
class Study:
    """The search of one method on one task.

    Attributes:
        task: what is trained.
        method: key of METHODS.
        space: free coordinate -> Optuna distribution in Optuna's JSON form. An empty space has a single configuration,
            which needs no search.

    Raises:
        BadInput: if a value is of another type, or the name of the method could not be part of a path.
    """

    task: Task
    method: str
    space: Mapping[str, Mapping[str, Any]] = field(hash=False)

    def __post_init__(self) -> None:
        check_fields(self)
        _ = self.distributions  # refuses a space that cannot be read
        if not NAME_PATTERN.fullmatch(self.method):
            raise BadInput(f"method={self.method!r} is not allowed: use lower-case letters, digits, '_', '-' and '.'.")

    @cached_property
    def distributions(self) -> Mapping[str, Distribution]:
        """What each free coordinate may be."""
        return {name: parse(name, distribution) for name, distribution in self.space.items()}

    @property
    def name(self) -> str:
        """The full name, e.g. `iris/mlp@3/kmixup`; also the folder of the study's results."""
        return str(StudyName(self.task.base, self.task.outer_split, self.method))


@dataclass(frozen=True)
class Claims:
    """What decides the claims of the paper. A suite fixes it before its first trial; `analysis.claims` has the rules.

    Attributes:
        delta: margin of equivalence δ, a share of ERM's error, between 0 and 1.
        level: level of the two-sided intervals, between 0.5 and 1.
        endpoint: column of the rows on which claims 1 to 3 are judged.
        families: number of the claim -> tasks, without outer splits, that can decide it. A task may belong to another
            launch that is reported with this one. Empty in version 0.1.0, which fixed none.

    Raises:
        BadInput: if a value is of another type or out of range, or a claim is not one of 1 to 4.
    """

    delta: float = 0.03
    level: float = 0.95
    endpoint: Literal["test_error"] = "test_error"
    families: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        check_fields(self)
        if not 0 < self.delta < 1:
            raise BadInput(f"delta={self.delta} is no share of ERM's error: choose one between 0 and 1, such as 0.03.")
        if not 0.5 < self.level < 1:
            raise BadInput(f"level={self.level} is no confidence level: choose one between 0.5 and 1, such as 0.95.")
        for claim, tasks in self.families.items():
            check_choice("claim", claim, CLAIM_NUMBERS)
            check_type(f"family of claim {claim}", tasks, tuple[str, ...])

    def by_family(self) -> dict[tuple[str, ...], list[str]]:
        """Tasks of a family -> numbers of the claims that they can decide."""
        claims: dict[tuple[str, ...], list[str]] = {}
        for claim, family in self.families.items():
            claims.setdefault(family, []).append(claim)
        return claims


@dataclass(frozen=True)
class Identity:
    """What the results of a suite depend on besides itself. A launch fills it in before the first trial.

    Results are continued only where `data`, `loaded` and `numerics` agree, and merged only where `data` and `numerics`
    do: two launches of a task may add methods of different files. The paths are remembered so that `resume` needs no
    options; they may differ between machines.

    Attributes:
        data: data set -> fingerprint of its arrays, see `data.fingerprint`.
        loaded: fingerprint of each `--load` file, in order, see `planning.plugins`.
        numerics: version of the numbers, see `core.numerics`; 0 where nothing is known: before the first launch, in
            format 1 and in early directories of format 2.
        load: absolute path of each `--load` file.
        data_dir: absolute path of the folder of the data sets; empty for the default one.
        sources: files that were named in place of tasks. What they hold is in `data`.

    Raises:
        BadInput: if a value is of another type.
    """

    data: Mapping[str, str] = field(default_factory=dict, hash=False)
    loaded: tuple[str, ...] = ()
    numerics: int = 0
    load: tuple[str, ...] = ()
    data_dir: str = ""
    sources: tuple[Source, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self, numerics=(0, MOST))
        for dataset, value in self.data.items():
            check_type(f"fingerprint of {dataset}", value, str)

    def without_paths(self) -> "Identity":
        """The same experiment, without where its files were: what a report may publish."""
        return dataclasses.replace(self, load=(), data_dir="", sources=())

    def columns(self, dataset: str) -> dict[str, Any]:
        """The columns `data` and `loaded` of the rows of a data set."""
        return {"data": self.data.get(dataset, ""), "loaded": self.loaded}


@dataclass(frozen=True)
class Suite:
    """The studies, budgets and seeds of one launch. The run directory keeps it as `suite.json`.

    Attributes:
        name: name of the suite; `custom` if it was made of tasks.
        studies: one per task and method, at least one.
        trials: configurations to search in each study that has a free coordinate, ≥ 1. A study whose search space has
            fewer tries each once.
        search_seeds: runs of each configuration in the search, scored on validation data, ≥ 1.
        shortlist: number of configurations that are compared again after the search, on `shortlist_seeds` more seeds
            each; 1 selects by the search alone.
        shortlist_seeds: additional runs of each configuration of the shortlist, ≥ 1.
        final_seeds: runs of the selected configuration, scored on test data as well, ≥ 1.
        sampler: which sampler proposes configurations.
        seed: seed of the whole suite.
        scheduler: `asha` stops search trials early, `none` does not.
        claims: what decides the claims of the paper.
        expectation: what was expected of this suite before its first trial, and why, in words.
        curves: whether rows hold training loss and validation error after each epoch. No other number depends on it.
        save_models: whether the weights of final runs are kept.
        select_by: the score on validation rows that the search minimises, and by which configurations are selected.
        identity: data, `--load` files and version of the numbers.
        format: 2; format 1, of version 0.1.0 and before, is read and reported, and not resumed.

    Raises:
        BadInput: if a value is of another type or out of range, the name could not be part of a path, or a study is
            missing or repeated.
    """

    name: str
    studies: tuple[Study, ...]
    trials: int
    search_seeds: int
    final_seeds: int
    sampler: Sampler = "tpe"
    seed: int = 0
    scheduler: Scheduler = "none"
    shortlist: int = 5
    shortlist_seeds: int = 4
    claims: Claims = Claims()
    expectation: str = ""
    curves: bool = False
    save_models: bool = False
    select_by: SelectBy = "error"
    identity: Identity = Identity()
    format: int = 2

    def __post_init__(self) -> None:
        budgets = ("trials", "search_seeds", "final_seeds", "shortlist", "shortlist_seeds")
        check_fields(self, seed=(-MAX_SEED, MAX_SEED), format=(1, 2), **dict.fromkeys(budgets, (1, MOST)))
        if not NAME_PATTERN.fullmatch(self.name):
            raise BadInput(f"name={shown(self.name)} is not allowed: use lower-case letters, digits, '_', '-' and '.'.")
        if not self.studies:
            raise BadInput("studies=() is empty: name at least one task and one method.")
        counts = Counter(study.name for study in self.studies)
        if repeated := [name for name, count in counts.items() if count > 1]:
            raise BadInput(f"studies={sorted(repeated)} appear more than once: name each task and method once.")

    def study(self, name: str) -> Study:
        """The study of this name, which must exist."""
        return next(study for study in self.studies if study.name == name)

    def studies_by_task(self) -> dict[str, list[Study]]:
        """Task without its split -> its studies. Its splits have one architecture, data set and recipe."""
        studies: dict[str, list[Study]] = {}
        for study in self.studies:
            studies.setdefault(study.task.base, []).append(study)
        return studies

    def trial_count(self, study: Study) -> int:
        """The number of configurations to search: `trials`, or fewer if the search space has no more."""
        points = point_count(study.distributions)
        return self.trials if points is None else min(self.trials, points)

    def shortlist_count(self, study: Study) -> int:
        """The number of configurations that are compared again after the search; 0 if that is off, or nothing to do."""
        count = min(self.shortlist, self.trial_count(study))
        return count if count > 1 else 0

    def run_count(self, study: Study) -> int:
        """The number of runs that a study takes, unless trials are stopped early."""
        search = self.trial_count(study) * self.search_seeds + self.shortlist_count(study) * self.shortlist_seeds
        return search + self.final_seeds

    def seeds(self, study: Study, phase: Phase) -> tuple[int, ...]:
        """The seeds of the runs of one phase: the same for all methods of a task, and in no other phase or suite seed.

        Returns:
            Hashes of the suite's seed, task, phase, outer split and number, of 53 bits, which a float holds exactly.
        """
        count = {"search": self.search_seeds, "shortlist": self.shortlist_seeds, "final": self.final_seeds}[phase]
        if self.format == 1:
            return tuple(self.seed + i + FINAL_SEED_OFFSET * (phase == "final") for i in range(count))
        task = study.task
        return tuple(derived_seed(self.seed, task.base, phase, task.outer_split, i) >> 10 for i in range(count))

    def search_trial(self, study: Study, index: int, values: Mapping[str, float]) -> "Trial":
        """The search trial of configuration `index`, with the rungs at which ASHA judges it.

        Args:
            study: one of the studies of the suite.
            index: index of the configuration in the study, ≥ 0.
            values: free coordinate -> value.
        """
        stops_early = self.scheduler == "asha" and study.space  # a single configuration has no competitors
        rungs = asha.rung_epochs(study.task.recipe.epochs) if stops_early else ()
        seeds = self.seeds(study, "search")
        return Trial(
            study.name,
            index,
            "search",
            dict(values),
            seeds,
            rungs=rungs,
            curves=self.curves,
            select_by=self.select_by,
        )

    def shortlist_trial(self, study: Study, index: int, values: Mapping[str, float]) -> "Trial":
        """The trial that compares configuration `index` again after the search."""
        seeds = self.seeds(study, "shortlist")
        return Trial(study.name, index, "shortlist", dict(values), seeds, curves=self.curves)

    def final_trials(
        self,
        study: Study,
        index: int,
        values: Mapping[str, float],
        finished_seeds: Collection[int],
        seeds_per_trial: int,
    ) -> Iterator["Trial"]:
        """The final trials of configuration `index` that are still missing.

        Args:
            study: one of the studies of the suite.
            index: index of the configuration in the study.
            values: free coordinate -> value.
            finished_seeds: seeds whose final runs exist already.
            seeds_per_trial: largest number of seeds in one trial, ≥ 1.

        Yields:
            Trials that cover each missing seed once.
        """
        missing = [seed for seed in self.seeds(study, "final") if seed not in finished_seeds]
        for start in range(0, len(missing), seeds_per_trial):
            seeds = tuple(missing[start : start + seeds_per_trial])
            yield Trial(study.name, index, "final", dict(values), seeds, curves=self.curves)


@dataclass(frozen=True)
class Draft:
    """A suite by the names of its tasks and methods, before its search spaces are built: an entry of SUITES.

    Attributes:
        name: name of the suite.
        tasks: names of tasks, e.g. `iris/mlp` for all outer splits or `iris/mlp@3` for one.
        methods: keys of METHODS.
        trials: see `Suite`, as for `search_seeds`, `final_seeds`, `sampler`, `seed`, `scheduler` and `shortlist`.
        repeats: outer splits of each task whose splits share their test rows; None takes the task's default.
        tune: names of recipe values that every method searches as well.
        epochs: replaces the epochs of every recipe; None keeps them. So do `batch_size` and `lr`.
        val_rows: replaces the number of validation rows of every task; None keeps it.
        expectation: see `Suite`.
        claims: what decides the claims of the paper. A claim without a family gets all tasks that have the three
            methods.
        curves: see `Suite`, as for `save_models` and `select_by`.

    Raises:
        BadInput: if a value is of another type or out of range.
    """

    name: str
    tasks: tuple[str, ...]
    methods: tuple[str, ...] = CLAIM_METHODS
    trials: int = 16
    search_seeds: int = 1
    final_seeds: int = 5
    sampler: Sampler = "tpe"
    seed: int = 0
    scheduler: Scheduler = "none"
    tune: tuple[str, ...] = ()
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    val_rows: int | None = None
    shortlist: int = 5
    repeats: int | None = None
    claims: Claims = Claims()
    expectation: str = ""
    curves: bool = False
    save_models: bool = False
    select_by: SelectBy = "error"

    def __post_init__(self) -> None:
        budgets = ("trials", "search_seeds", "final_seeds", "shortlist", "epochs", "batch_size")
        counts = {"repeats": (1, MAX_REPEATS), "val_rows": (1, MAX_ROWS), **dict.fromkeys(budgets, (1, MOST))}
        check_fields(self, seed=(-MAX_SEED, MAX_SEED), lr=(0, math.inf), **counts)


@dataclass(frozen=True)
class Trial:
    """One configuration of a study, to be trained once per seed in one phase.

    Attributes:
        study: name of the study.
        index: index of the configuration in the study.
        phase: `search` and `shortlist` (scored on validation data), or `final` (scored on test data as well).
        values: free coordinate -> value.
        seeds: seeds of the runs.
        batched: whether all seeds are trained together; otherwise one after another.
        rungs: numbers of epochs after which the run of the first seed is judged, and the trial may be stopped.
        curves: see `Suite`.
        select_by: see `Suite`; of search trials, by what their run is judged.
    """

    study: str
    index: int
    phase: Phase
    values: Mapping[str, float] = field(hash=False)
    seeds: tuple[int, ...]
    batched: bool = False
    rungs: tuple[int, ...] = ()
    curves: bool = False
    select_by: SelectBy = "error"

    @property
    def name(self) -> str:
        """The name within the study, e.g. `search-0003` or `final-0003-6189700196426901`; also the stem of its file."""
        return f"{self.phase}-{self.index:04d}" + (f"-{self.seeds[0]}" if self.phase == "final" else "")


def derived_seed(*parts: object) -> int:
    """Derives a seed from its purpose, e.g. `derived_seed(seed, "order", epoch)`.

    Args:
        parts: values that JSON can hold.

    Returns:
        A 63-bit seed: a hash of the parts, the same on every machine and Python version.
    """
    return int.from_bytes(blake2b(json.dumps(parts).encode(), digest_size=8).digest(), "big") >> 1


def to_json(suite: Suite) -> str:
    """Writes a suite as JSON text."""
    return json.dumps(dataclasses.asdict(suite), indent=1)


def source_from_json(raw: Mapping[str, Any]) -> Source:
    """Reads a user's own file: its lists are tuples. Raises TypeError or ValueError for what holds no fields."""
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in dict(raw).items()
    }
    return Source(**fields)


def from_json(text: str) -> Suite:
    """Reads a suite that `to_json` wrote.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: if the text is not a suite.
    """
    raw = json.loads(text)
    if not isinstance(raw, dict):
        raise TypeError("it holds no fields")
    written_format = raw.setdefault("format", 1)  # version 0.1.0 and before wrote none
    if written_format not in (1, 2):
        raise ValueError(f"format {written_format!r} is of a later version of tune-kmixup")
    if written_format == 1:
        raw |= {"shortlist": 1, "shortlist_seeds": 1}
    claims = raw.pop("claims", {})  # version 0.1.0 fixed none
    families = {claim: tuple(tasks) for claim, tasks in claims.pop("families", {}).items()}
    identity = raw.pop("identity", {})  # early suites of format 2 have none
    identity |= {name: tuple(identity[name]) for name in ("loaded", "load") if name in identity}
    identity["sources"] = tuple(source_from_json(source) for source in identity.get("sources", ()))
    studies = []
    for study in raw.pop("studies"):
        task = study["task"]
        task["recipe"] = Recipe(**task["recipe"])
        studies.append(Study(Task(**task), study["method"], study["space"]))
    claims = Claims(families=families, **claims)
    return Suite(studies=tuple(studies), claims=claims, identity=Identity(**identity), **raw)
