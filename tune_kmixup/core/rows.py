"""The row of a run: what each column means and may hold, how it is read and written, and the rules between columns."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from itertools import zip_longest
from statistics import fmean
from types import NoneType
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from tune_kmixup.core import bitset
from tune_kmixup.core.checks import MOST, shown
from tune_kmixup.core.config import MAX_ROWS, Phase
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.fields import MAX_TIME, Field, Items

Status = Literal["ok", "diverged", "stopped"]

RENAMED = {"fused": "batched"}  # column name up to version 0.1.0 -> current name


@dataclass(frozen=True)
class Column:
    """What is said of a column, or of a value within an item of a list.

    Attributes:
        meaning: what it holds, and when it is empty.
        unit: unit of its numbers.
        low: smallest number.
        high: largest number.
        name: its name in files and tables, where that is no name of an attribute.
        is_name: whether its text is a name.
    """

    meaning: str
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf
    name: str = ""
    is_name: bool = False


def share(meaning: str, name: str = "") -> Column:
    return Column(meaning, "fraction", 0, 1, name)


def count(meaning: str, unit: str = "", low: int = 1, high: int = MOST) -> Column:
    return Column(meaning, unit, low, high)


class Rung(NamedTuple):
    """An epoch after which asha judged a run, and its score there."""

    epoch: Annotated[int, count("epochs trained so far", "epochs")]
    score: Annotated[float | None, Column("validation score by which the suite selects; empty if not finite", low=0)]


CALIBRATION_BINS = 15  # of equal width, as in Guo et al., ICML 2017


class Bin(NamedTuple):
    """A bin of the reliability diagram."""

    rows: Annotated[int, count("test rows", "rows", high=MAX_ROWS)]
    confidence: Annotated[float, share("mean confidence of these")]
    accuracy: Annotated[float, share("share of these classified correctly")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One run, with its scores. The annotations say what each column means and may hold.

    A column without a default is in every row, whatever the version that wrote it. An empty column is None, or `()` if
    it counts as a list without items. `other` holds the columns of later versions: any text or number.

    Raises:
        BadInput: for the first value that does not fit its column or another column.
    """

    task: Annotated[
        str, Column("data set, training size and architecture, without the outer split, e.g. digits-200/small_cnn")
    ]
    dataset: Annotated[str, Column("data set, with its label noise, e.g. mnist or mnist-noise0.2", is_name=True)]
    architecture: Annotated[str, Column("architecture", is_name=True)]
    outer_split: Annotated[
        int | None,
        count(
            "cross-validation fold held out as test data, draw of a toy set, or repeat where all share the test rows",
            low=0,
        ),
    ]
    shared_test: Annotated[
        bool | None, Column("whether the outer splits of the task are repeats that share their test rows")
    ] = None
    train_rows: Annotated[
        int | None, count("rows trained on, in search and final runs alike", "rows", high=MAX_ROWS)
    ] = None
    method: Annotated[str, Column("erm, mixup, kmixup, placebo or a user's own", is_name=True)]
    phase: Annotated[
        Phase, Column("search, shortlist (both scored on validation data alone) or final (on test data as well)")
    ]
    trial: Annotated[int, count("number of the configuration within its study", low=0)]
    alpha: Annotated[float, Column("parameter of Beta(α, α); 0 for erm", low=0)]
    k: Annotated[int, count("rows per pairing block; 1 for erm and mixup", "rows")]
    lr: Annotated[float | None, Column("learning rate used", low=0)] = None
    weight_decay: Annotated[float | None, Column("weight decay used", low=0)] = None
    epochs: Annotated[int, count("epochs trained", "epochs")]
    batch_size: Annotated[int | None, count("rows per batch", "rows")] = None
    cost: Annotated[str | None, Column("cost of the pairing: sqeuclidean or euclidean")] = None
    seed: Annotated[int, Column("seed of the run; equal seeds pair the methods")]
    status: Annotated[
        Status,
        Column("ok; diverged: the loss or a prediction was not finite; stopped: early, scored after `epochs`"),
    ]
    train_loss: Annotated[
        float | None,
        Column("mean loss of the last epoch on what the method trains on; empty if diverged", "nats", low=0),
    ] = None
    val_error: Annotated[float, share("share of validation rows classified wrongly after the last epoch")]
    val_nll: Annotated[
        float | None, Column("mean negative log-likelihood on validation rows; empty if not finite", "nats", low=0)
    ] = None
    val_brier: Annotated[
        float | None, Column("mean Brier score on validation rows; empty if not finite", low=0, high=2)
    ] = None
    val_balanced_error: Annotated[
        float | None, share("1 - mean recall of the classes that have validation rows; empty in earlier versions")
    ] = None
    val_macro_f1: Annotated[
        float | None,
        share("mean F1 of the classes with validation rows or predictions; empty in earlier versions"),
    ] = None
    val_auroc: Annotated[
        float | None,
        share(
            "area under the ROC curve on validation rows, of class 1 of two, else mean of each class that has rows "
            "against the rest; empty if all rows are of one class, if diverged, and in earlier versions"
        ),
    ] = None
    test_error: Annotated[
        float | None, share("share of test rows classified wrongly after the last epoch; empty in search")
    ] = None
    test_nll: Annotated[
        float | None,
        Column("mean negative log-likelihood on test rows; empty in search or if not finite", "nats", low=0),
    ] = None
    test_brier: Annotated[
        float | None, Column("mean Brier score on test rows; empty in search or if not finite", low=0, high=2)
    ] = None
    test_balanced_error: Annotated[
        float | None, share("val_balanced_error on test rows; empty in search and in earlier versions")
    ] = None
    test_macro_f1: Annotated[
        float | None, share("val_macro_f1 on test rows; empty in search and in earlier versions")
    ] = None
    test_auroc: Annotated[float | None, share("val_auroc on test rows; empty in search, and where that is empty")] = (
        None
    )
    test_ece: Annotated[
        float | None,
        share("expected calibration error on test rows, 15 bins of equal width; empty if diverged"),
    ] = None
    test_ece_adaptive: Annotated[float | None, share("the same in 15 bins of equal mass")] = None
    test_ece_floor: Annotated[
        float | None,
        share("test_ece of a perfectly calibrated network of the same confidences, by simulation"),
    ] = None
    test_reliability: Annotated[
        tuple[Bin, ...] | None, Column("bins of test_ece that hold rows: their number, mean confidence and accuracy")
    ] = None
    test_error_by_class: Annotated[
        tuple[float | None, ...] | None,
        share("test_error among the test rows of each class, in order; empty for a class without test rows"),
    ] = None
    test_rows: Annotated[int | None, count("number of test rows; empty in search", "rows", high=MAX_ROWS)] = None
    test_wrong: Annotated[
        str | None,
        Column("test rows classified wrongly, of 6,000 at most: their number and, in base64, a bit each"),
    ] = None
    test_error_noise_0_1: Annotated[
        float | None,
        share("test_error under Gaussian noise of deviation 0.1, the same for every run", "test_error_noise_0.1"),
    ] = None
    test_error_noise_0_3: Annotated[
        float | None,
        share(
            "the same at 0.3; units: images in [0, 1], waveforms in [-1, 1], standardised columns",
            "test_error_noise_0.3",
        ),
    ] = None
    test_error_fgsm_0_01: Annotated[
        float | None,
        share("test_error after a signed gradient step of 0.01, in the same units", "test_error_fgsm_0.01"),
    ] = None
    test_error_fgsm_0_03: Annotated[float | None, share("the same at 0.03", "test_error_fgsm_0.03")] = None
    test_error_fgsm_0_1: Annotated[
        float | None,
        share(
            "the same at 0.1; noise and steps leave out columns with ten or fewer distinct values",
            "test_error_fgsm_0.1",
        ),
    ] = None
    test_fgsm_zero_gradient: Annotated[
        float | None, share("share of test rows whose gradient is zero, which FGSM cannot move")
    ] = None
    matched_distance: Annotated[
        float | None,
        Column("mean squared Euclidean distance of the pairs of the first 100 steps; empty for erm", low=0),
    ] = None
    perturbation: Annotated[
        float | None,
        Column("E[min(λ,1-λ)²] times matched_distance: expected squared displacement; 0 for erm", low=0),
    ] = None
    self_pair_share: Annotated[float | None, share("share of these pairs of a row with itself; empty for erm")] = None
    cross_class_share: Annotated[float | None, share("share of these pairs of two classes; empty for erm")] = None
    rungs: Annotated[
        tuple[Rung, ...],
        Column("epoch and score (val_error, or what --select-by names) where asha judged the first search seed"),
    ] = ()
    train_loss_by_epoch: Annotated[
        tuple[float | None, ...] | None,
        Column("train_loss of each epoch, with `--curves`; an epoch whose loss is not finite is empty", "nats", low=0),
    ] = None
    val_error_by_epoch: Annotated[
        tuple[float, ...] | None, share("share of validation rows classified wrongly after each epoch, with `--curves`")
    ] = None
    batched: Annotated[int | None, count("number of runs trained together, including this one; 1 if alone")] = None
    seconds: Annotated[
        float,
        Column(
            "wall-clock time of training and evaluation; shared equally if trained together; "
            "the whole trial if stopped",
            "s",
            0,
            MAX_TIME,
        ),
    ]
    pairing_seconds: Annotated[float | None, Column("part of `seconds` spent computing pairings", "s", 0, MAX_TIME)] = (
        None
    )
    started: Annotated[float | None, Column("start of the run", "Unix time, s", 0, MAX_TIME)] = None
    data: Annotated[
        str | None,
        Column("fingerprint of the arrays of the data set; generated for a toy set; empty where not recorded"),
    ] = None
    loaded: Annotated[tuple[str, ...], Column("fingerprints of the `--load` files; empty without")] = ()
    numerics: Annotated[
        int | None, Column("version of the numbers: it is raised when a change of the source alters results")
    ] = None
    device: Annotated[str | None, Column("device the run trained on")] = None
    machine: Annotated[str | None, Column("processor architecture, cores and Python of the machine")] = None
    code: Annotated[str | None, Column("version and fingerprint of the source of this suite")] = None
    versions: Annotated[
        str | None, Column("versions of torch, ray, optuna, numpy and scipy, as far as they are installed")
    ] = None
    other: Mapping[str, str | float | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for attribute, name, allowed in CHECKS:
            value = getattr(self, attribute)
            if value is not None or not allowed.optional:
                allowed.check(name, value)
        for name, value in self.other.items():
            Field(str).check("column", name)
            if not isinstance(value, str | int | float | None):
                raise BadInput(f"{name}={shown(value)} is no text or number")
        if (self.phase == "final") != (self.test_error is not None):
            raise BadInput(f"test_error={self.test_error} does not fit phase={self.phase}: final runs alone have it")
        if self.test_wrong is not None:
            self.check_wrong(self.test_wrong)
        self.check_curves()

    def check_wrong(self, test_wrong: str) -> None:
        """The bits must be as many as the test rows, and as many of them set as the test error says."""
        try:
            rows, packed = bitset.decode(test_wrong)
        except ValueError as error:
            raise BadInput(f"test_wrong={shown(test_wrong)} does not fit: {error}") from error
        wrong = int.from_bytes(packed, "big").bit_count()
        if rows == self.test_rows and self.test_error is not None and abs(wrong - self.test_error * rows) > 0.01:
            raise BadInput(
                f"test_wrong={shown(test_wrong)} does not fit: "
                f"{wrong} of {rows} rows are wrong, and test_error is {self.test_error:.6g}"
            )

    def check_curves(self) -> None:
        """Both have the same length, at most one value per epoch: a run that diverges may end before its last epoch."""
        losses, errors = len(self.train_loss_by_epoch or ()), len(self.val_error_by_epoch or ())
        if losses != errors or errors > self.epochs:
            raise BadInput(
                f"val_error_by_epoch does not fit: it has {errors} values, train_loss_by_epoch {losses}, "
                f"and epochs={self.epochs}"
            )

    def to_json(self) -> dict[str, Any]:
        """The columns by name, as `json.dumps` takes them."""
        return {name: getattr(self, attribute) for name, (attribute, _, _) in COLUMNS.items()} | dict(self.other)

    @classmethod
    def from_json(cls, content: Any) -> "Row":
        """Reads what this version or an earlier one wrote.

        Up to early directories of format 2, lists were texts: items separated by spaces, and values of an item by `:`.

        Raises:
            BadInput: for the first column that does not fit.
        """
        if not isinstance(content, dict):
            raise BadInput(f"it holds {shown(content)} instead of named fields")
        values: dict[str, Any] = {}
        other: dict[str, Any] = {}
        for name, value in content.items():
            attribute = WRITTEN.get(name)
            if attribute is None:
                other[name] = value
            elif value is not None or attribute in REQUIRED:  # else the default is meant
                values[attribute] = LISTS[attribute].read(name, value) if attribute in LISTS else value
        if missing := REQUIRED - values.keys():
            raise BadInput(f"{min(missing)} is missing")
        return cls(**values, other=other)


class Described(NamedTuple):
    """What is known of a column: the attribute of `Row`, what it means, and what it may hold."""

    attribute: str
    column: Column
    allowed: Field | Items


def described(record: type) -> dict[str, Described]:
    """The columns of a class by their names, from its annotations."""
    found = {}
    for attribute, hint in get_type_hints(record, include_extras=True).items():
        if get_origin(hint) is Annotated:
            kind, column = get_args(hint)
            found[column.name or attribute] = Described(attribute, column, allowed(kind, column))
    return found


def allowed(hint: Any, column: Column) -> Field | Items:
    """What a value of an annotated type may be."""
    kind, optional = without_none(hint)
    if get_origin(kind) is not tuple:
        return field_of(hint, column)
    item, _ = get_args(kind)
    if hasattr(item, "_fields"):
        parts = {name: field_of(*get_args(note)) for name, note in get_type_hints(item, include_extras=True).items()}
        return Items(parts, item, optional)
    return Items({"": field_of(item, column)}, None, optional)


def field_of(hint: Any, column: Column) -> Field:
    """What a single value may be."""
    kind, optional = without_none(hint)
    if get_origin(kind) is Literal:
        return Field(str, choices=get_args(kind), optional=optional)
    return Field(kind, column.low, column.high, optional=optional, is_name=column.is_name)


def without_none(hint: Any) -> tuple[Any, bool]:
    """A type that may be None as the type itself, and whether it may be."""
    if NoneType not in get_args(hint):
        return hint, False
    (kind,) = (kind for kind in get_args(hint) if kind is not NoneType)
    return kind, True


COLUMNS = described(Row)
CHECKS = [(attribute, name, allowed) for name, (attribute, _, allowed) in COLUMNS.items()]
LISTS = {attribute: allowed for attribute, _, allowed in COLUMNS.values() if isinstance(allowed, Items)}
WRITTEN = {name: column.attribute for name, column in COLUMNS.items()} | RENAMED  # what versions wrote -> attribute
REQUIRED = {f.name for f in fields(Row) if f.default is MISSING and f.default_factory is MISSING}


def mean_curve(curves: Iterable[tuple[float | None, ...] | None]) -> dict[int, float]:
    """Epoch -> mean over runs, for the epochs of which every run has a value.

    Args:
        curves: a column such as `val_error_by_epoch`, of the runs of a trial.
    """
    means = {}
    for epoch, values in enumerate(zip_longest(*(curve or () for curve in curves)), start=1):
        known = [value for value in values if value is not None]
        if len(known) == len(values):
            means[epoch] = fmean(known)
    return means
