"""Which trial runs next: one OptunaSearch per study, one Ray Tune searcher over all of them.

The searcher hands out trials of every study, so that the cluster stays full while any study has work. When the search
budget of a study is spent, its selected configuration is handed out as final trials in the same experiment: there is
no barrier between the phases.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import optuna
from optuna.distributions import json_to_distribution
from ray.tune.result import TRAINING_ITERATION
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from tune_kmixup import halving
from tune_kmixup.columns import Row
from tune_kmixup.exporting import judged, with_result
from tune_kmixup.fusing import AT_ONCE, Speedups, pays
from tune_kmixup.packing import Packing
from tune_kmixup.results import RunDir
from tune_kmixup.sampling import sampler
from tune_kmixup.selection import by_configuration, final_rows, ranking, score, stopped
from tune_kmixup.study import Study, Suite, Trial, derived_seed

RETRIES = 2  # of a trial that raised an error, or whose worker or node was lost

optuna.logging.set_verbosity(optuna.logging.WARNING)  # a line per study and trial would drown the display


class StudyQueue:
    """What one study has proposed, what of it is done, and what is to be run next."""

    def __init__(self, suite: Suite, study: Study, run: RunDir, at_hand: RunDir, speedups: Speedups):
        self.suite, self.study, self.run, self.speedups = suite, study, run, speedups
        self.rows = at_hand.rows(study.name)
        self.seconds = sum(row["seconds"] for row in self.rows)
        self.proposals = at_hand.proposals(study.name)
        self.running: dict[str, Trial] = {}  # by Ray's trial id
        self.attempts: Counter[str] = Counter()  # trial name -> times it went wrong in this launch
        self.again: list[Trial] = []  # went wrong, and are to be tried once more
        self.failed: dict[str, str] = {}  # trial name -> error, of this launch; an earlier launch's are tried again
        self.early: dict[str, Row] = {}  # by Ray's trial id: the row of a trial that is being stopped
        self.rungs = halving.Rungs()
        done = by_configuration(self.rows)
        for index, runs in done.items():
            self.rungs.record(index, judged(runs))
        self.unfinished = [index for index in self.proposals if index not in done]
        self.finals: list[Trial] | None = None  # None until the search has ended
        self.engine = self._engine(done) if study.space else None
        self.settle()

    def _engine(self, done: Mapping[int, list[Row]]) -> OptunaSearch:
        """Optuna's study, rebuilt in the order of its proposals: those without a result are offered again first."""
        space = {name: json_to_distribution(json.dumps(value)) for name, value in self.study.space.items()}
        storage, seed = optuna.storages.InMemoryStorage(), derived_seed(self.suite.seed, self.study.name)
        rebuilt = optuna.create_study(storage=storage, study_name=self.study.name, direction="minimize")
        for index, values in self.proposals.items():
            if index in done:
                rebuilt.add_trial(with_result(values, space, done[index], {}))
            else:
                rebuilt.enqueue_trial(values)
        return OptunaSearch(
            space,
            metric="score",
            mode="min",
            sampler=sampler(self.suite.sampler, seed, space, self.suite.trials),
            storage=storage,
            study_name=self.study.name,
        )

    def runs_left(self) -> int:
        """Runs to be done, those in progress included."""
        search = self.suite.trial_count(self.study) - len(self.proposals) + len(self.unfinished)
        finals = self.suite.final_seeds if self.finals is None else sum(len(trial.seeds) for trial in self.finals)
        begun = sum(len(trial.seeds) for trial in (*self.running.values(), *self.again))
        return max(0, search) * self.suite.search_seeds + finals + begun

    def settle(self) -> None:
        """Queues the final trials that are missing, once the search has ended."""
        searching = any(trial.phase == "search" for trial in (*self.running.values(), *self.again))
        if self.finals is None and not searching and not self.unfinished and self.searched_all:
            self.finals = []
            for best in ranking(self.rows)[:1]:
                done = {row["seed"] for row in final_rows(self.rows)}
                # Where seeds gain nothing from each other, a final trial costs what a search trial does.
                most = min(AT_ONCE, self.suite.final_seeds)
                at_once = most if pays(self.speedups, self.study.task, most) else self.suite.search_seeds
                self.finals += self.suite.final_trials(self.study, best, self.proposals[best], done, at_once)

    @property
    def searched_all(self) -> bool:
        return len(self.proposals) >= self.suite.trial_count(self.study)

    def next(self, ray_id: str) -> Trial | None:
        """The next trial to run; None while there is nothing to hand out. A proposal is on disk before it is run."""
        trial = self.again.pop(0) if self.again else self._next_search()
        if trial is None:
            self.settle()
            trial = self.finals.pop(0) if self.finals else None
        if trial:
            self.running[ray_id] = trial = replace(trial, fused=pays(self.speedups, self.study.task, len(trial.seeds)))
        return trial

    def _next_search(self) -> Trial | None:
        if not self.unfinished and self.searched_all:
            return None
        index = self.unfinished.pop(0) if self.unfinished else len(self.proposals)
        trial = self.suite.search_trial(self.study, index, self.proposals.get(index, {}))
        # Optuna knows a trial by its name, which stays where Ray's changes: when it is tried again.
        values = self.engine.suggest(trial.name) if self.engine else {}
        if index not in self.proposals:
            self.run.write_proposal(self.study.name, index, values)
            self.proposals[index] = values
        return replace(trial, values=self.proposals[index])

    def goes_on(self, ray_id: str, row: Row) -> bool:
        """Whether a trial that is at a rung goes on. If not, it ends with `row`."""
        trial, epoch = self.running[ray_id], row["epochs"]
        # Where its error was known, it went on before its worker was lost.
        if epoch in self.note(trial, [row]) and not self.rungs.goes_on(trial.index, epoch):
            self.early[ray_id] = row
        return ray_id not in self.early

    def note(self, trial: Trial, rows: list[Row]) -> dict[int, float]:
        """Keeps the errors at rungs that are new here, those passed in an earlier launch too, and tells Optuna."""
        new = self.rungs.record(trial.index, judged(rows))
        if self.engine:
            for epoch, error in new.items():
                self.engine.on_trial_result(trial.name, {"score": error, TRAINING_ITERATION: epoch})
        return new

    def ended(self, ray_id: str, rows: list[Row] | None) -> None:
        """Keeps the rows of a trial and tells Optuna. One that went wrong (`rows` None) is tried again, or failed."""
        trial = self.running.pop(ray_id)
        self.attempts[trial.name] += rows is None
        if rows is None and self.attempts[trial.name] <= RETRIES:
            self.again.append(trial)
            return
        if rows is not None:
            self.run.write_rows(trial, rows)
            self.rows += rows
            self.seconds += sum(row["seconds"] for row in rows)
        else:
            self.failed[trial.name] = ""
        if self.engine and trial.phase == "search":
            self.note(trial, rows or [])
            result = None if rows is None or stopped(rows) else {"score": score(rows)[0]}
            self.engine.on_trial_complete(trial.name, result, error=rows is None)  # pruned: neither of the two


class SuiteSearcher(Searcher):  # type: ignore[misc]
    """Ray Tune's view of a suite. A trial's configuration names its study and holds the trial itself."""

    def __init__(self, suite: Suite, run: RunDir, speedups: Speedups | None = None, packing: Packing | None = None):
        super().__init__()  # no metric: what a trial is worth is known here, from its rows
        self.suite, self.run_dir, self.packing = suite, run, packing or Packing()
        with run.at_hand() as here:
            self.queues = {study.name: StudyQueue(suite, study, run, here, speedups or {}) for study in suite.studies}
        self.tasks: dict[str, list[StudyQueue]] = {}  # queues by base name of the task
        for queue in self.queues.values():
            self.tasks.setdefault(queue.study.task.base, []).append(queue)
        self.started: dict[str, float] = {}  # ray id -> Unix time
        self.ended_badly: dict[str, Trial] = {}  # by Ray's trial id
        self.stopping = False  # set to hand out nothing more
        self.refused: OSError | None = None  # what the disk said when a file could not be written

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial that fits, of the study with the most work left; None: ask again later; FINISHED: done."""
        if self.stopping:
            return str(Searcher.FINISHED)
        fitting = (queue for queue in self.queues.values() if self.packing.fits(queue.study.task.base))
        for queue in sorted(fitting, key=self.work_left, reverse=True):
            with self.writing():
                trial = queue.next(trial_id)
            if self.stopping:
                return str(Searcher.FINISHED)
            if trial:
                self.started[trial_id] = time.time()
                self.packing.take(trial_id, queue.study.task.base)
                return {"study": trial.study, **vars(trial)}
        return str(Searcher.FINISHED) if all(queue.runs_left() == 0 for queue in self.queues.values()) else None

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Where the disk refuses a file, nothing more is handed out; what is running ends, and is kept if it can be."""
        try:
            yield
        except OSError as error:
            self.refused, self.stopping = error, True

    def work_left(self, queue: StudyQueue) -> tuple[float, float]:
        """Estimated from the runs of the same task that are done; unbounded, so first, where there is none."""
        base = queue.study.task.base
        alike = self.tasks[base]
        runs = sum(len(other.rows) for other in alike)
        left = queue.runs_left() * sum(other.seconds for other in alike) / runs if runs else float("inf")
        return self.packing.urgency(base, left)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Progress alone; what counts comes at the end."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self.started.pop(trial_id, None)
        self.packing.give_back(trial_id)
        queue = self.queue_of(trial_id)
        early = queue.early.pop(trial_id, None)
        rows = None if error else (result or {}).get("rows", early and [early])
        if rows is None:
            self.ended_badly[trial_id] = queue.running[trial_id]
        with self.writing():
            queue.ended(trial_id, rows)

    def explain(self, trial_id: str, error: str) -> None:
        """Keeps the last line of the error of a trial that failed, its retries included."""
        trial = self.ended_badly.pop(trial_id)
        failed = self.queues[trial.study].failed
        if trial.name in failed:
            failed[trial.name] = error
            with self.writing():
                self.run_dir.write_failure(trial, error)

    def failures(self) -> dict[str, str]:
        """study/trial -> error, of this launch."""
        return {f"{q.study.name}/{name}": error for q in self.queues.values() for name, error in q.failed.items()}

    def finished(self) -> bool:
        """Whether nothing is left to be run."""
        return all(queue.runs_left() == 0 for queue in self.queues.values())

    def queue_of(self, trial_id: str) -> StudyQueue:
        return next(queue for queue in self.queues.values() if trial_id in queue.running)

    # Ray pickles the searcher for its own Tuner.restore, which is not used: the run directory holds all there is.

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing to be kept."""

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError("launch again: the run directory holds all there is")
