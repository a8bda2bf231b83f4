"""From a study's rows to the configuration that counts: the one selection rule. Standard library only."""

from collections.abc import Iterable

from tune_kmixup.core.rows import Row


def score(rows: Iterable[Row]) -> tuple[float, float]:
    """Validation error and NLL of one configuration, averaged over its search runs.

    A prediction that is not finite counts as wrong, so a diverged run has an error, but no finite NLL: its NLL is
    infinite.
    """
    rows = list(rows)
    nlls = [float("inf") if row["val_nll"] is None else row["val_nll"] for row in rows]
    return sum(row["val_error"] for row in rows) / len(rows), sum(nlls) / len(rows)


def by_configuration(rows: Iterable[Row]) -> dict[int, list[Row]]:
    """index -> the search runs of that configuration."""
    found: dict[int, list[Row]] = {}
    for row in rows:
        if row["phase"] == "search":
            found.setdefault(row["trial"], []).append(row)
    return found


def stopped(rows: Iterable[Row]) -> set[int]:
    """The configurations that were stopped early. Each has one row alone, of its first seed."""
    return {row["trial"] for row in rows if row["status"] == "stopped"}


def completed(rows: Iterable[Row]) -> dict[int, list[Row]]:
    """`by_configuration` without those that were stopped early: what is scored."""
    return by_configuration(row for row in rows if row["status"] != "stopped")


def ranking(rows: Iterable[Row]) -> list[int]:
    """The configurations of a study, best first: the one selection rule. Those stopped early are out.

    Least validation error of the last epoch, averaged over the search seeds; among equals the lower NLL, then the
    smaller α, then the smaller k (the milder regulariser), then the earlier trial. Test data play no part.
    """
    runs = completed(rows)
    return sorted(runs, key=lambda i: (*score(runs[i]), runs[i][0]["alpha"], runs[i][0]["k"], i))


def tied(rows: Iterable[Row]) -> int:
    """How many configurations share the least validation error: more than one means that a tie was broken."""
    errors = [score(runs)[0] for runs in completed(rows).values()]
    return errors.count(min(errors)) if errors else 0


def final_rows(rows: Iterable[Row]) -> list[Row]:
    """The final runs that count: those of the configuration that the selection rule chooses now."""
    rows = list(rows)
    best = ranking(rows)[:1]
    return [row for row in rows if row["phase"] == "final" and row["trial"] in best]
