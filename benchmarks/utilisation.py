"""Share of time in which slots are busy: six unequal studies in one launch, and in one launch after another.

    python benchmarks/utilisation.py      # 18 minutes

A Ray cluster of four nodes on this machine, with one slot each. The trials are stubs that sleep for 5, 10 or 20 seconds
(`benchmarks/stubs.py`), so that four slots fit on two cores. Everything else is a real launch through the command line.
The share is the one that `tune-kmixup status` prints: seconds of runs over slots times the duration of the launch.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from ray.cluster_utils import Cluster

from benchmarks.timing import describe_machine, print_header, print_row
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.store.status import launch_status

NODES = 4
TASKS = ("iris/sleep-5000", "iris/sleep-10000", "iris/sleep-20000")
METHODS = ("mixup", "kmixup")


def launch(address: str, out: Path, tasks: tuple[str, ...], methods: tuple[str, ...], trials: int) -> RunDir:
    command = [sys.executable, "-m", "tune_kmixup", "launch", *tasks, "--address", address, "--out", str(out)]
    command += [part for method in methods for part in ("--method", method)]
    command += ["--load", str(Path(__file__).with_name("stubs.py")), "--trials", str(trials)]
    command += ["--search-seeds", "1", "--final-seeds", "8", "--shortlist", "1", "--batch-seeds", "off"]
    subprocess.run(command, check=True, capture_output=True)
    return RunDir(out)


def run_seconds(run: RunDir) -> float:
    return sum(row.seconds for results in run.results(run.suite()).values() for row in results.rows)


def slot_seconds(run: RunDir) -> float:
    beat = run.heartbeat()
    assert beat is not None
    return beat.period.available


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one task, few trials")
    trials = 3 if parser.parse_args().quick else 20
    tasks = ("iris/sleep-2000",) if trials == 3 else TASKS
    print(f"{describe_machine()}, {NODES} nodes of one slot\n")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    for _ in range(NODES - 1):
        cluster.add_node(num_cpus=1)
    print_header("how", "launches", "minutes", "slots busy")
    with tempfile.TemporaryDirectory() as folder:
        together = launch(cluster.address, Path(folder) / "together", tasks, METHODS, trials)
        share = launch_status(together).busy or 0.0
        print_row("one launch", 1, f"{slot_seconds(together) / NODES / 60:.1f}", f"{share:.1%}")
        in_turn = [
            launch(cluster.address, Path(folder) / str(number), (task,), (method,), trials)
            for number, (task, method) in enumerate((task, method) for task in tasks for method in METHODS)
        ]
        total = sum(map(slot_seconds, in_turn))
        share = sum(map(run_seconds, in_turn)) / total
        print_row("study after study", len(in_turn), f"{total / NODES / 60:.1f}", f"{share:.1%}")
    cluster.shutdown()
