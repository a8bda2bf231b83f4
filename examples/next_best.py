"""Is it the method, or the luck of the search?  python examples/next_best.py RUN_DIR DATA_DIR [ranks] [seeds]

The interval of a gain is over the final runs of the one configuration that was selected. Another search might have
selected another configuration. If a task has one split, the interval does not cover that. So this script also trains
the configurations that rank next on validation data, on the same final seeds. The final runs of rank 1 are in the run
directory.
"""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path

import torch

from tune_kmixup.analysis.report.tables import format_estimate
from tune_kmixup.analysis.stats import t_interval
from tune_kmixup.core.selection import final_rows, ranking
from tune_kmixup.data.prepare import prepare
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.training.loop import train_to_end


def final_run(task, trial, data_dir):
    torch.set_num_threads(1)
    return train_to_end(task, trial, prepare(task, data_dir, test=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("ranks", type=int, nargs="?", default=3)
    parser.add_argument("seeds", type=int, nargs="?", default=6)
    options = parser.parse_args()
    run = RunDir(options.run_dir)
    suite, runs = run.suite(), {}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for study in suite.studies:
            rows, values = run.rows(study.name), run.proposals(study.name)
            for rank, index in enumerate(ranking(rows, suite.select_by)[: options.ranks], 1):
                finished = final_rows(rows, suite.shortlist, suite.select_by)[: options.seeds] if rank == 1 else []
                finished_seeds = {row.seed for row in finished}
                missing = suite.final_trials(study, index, values[index], finished_seeds, seeds_per_trial=1)
                futures = [
                    pool.submit(final_run, study.task, trial, options.data_dir)
                    for trial in islice(missing, options.seeds - len(finished))
                ]
                runs[study.name, rank] = finished, futures
        for (name, rank), (finished, futures) in runs.items():
            rows = [*finished, *(row for future in futures for row in future.result())]
            error = format_estimate(t_interval([row.test_error for row in rows]))
            chosen = f"α {rows[0].alpha:.2g}, k {rows[0].k:2}"
            print(f"{name:28} rank {rank}: {chosen}, test error {error} %", flush=True)
