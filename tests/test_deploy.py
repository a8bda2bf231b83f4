"""The files that start a cluster, checked as far as that is possible without one."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError
from ray.autoscaler._private.util import prepare_config, validate_config

from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.store.status import launch_status

DEPLOY = Path(__file__).parent.parent / "deploy"


def test_the_cluster_file_is_what_rays_launcher_takes() -> None:
    config = yaml.safe_load((DEPLOY / "cluster.yaml").read_text())
    prepared = prepare_config(config)
    validate_config(prepared)
    assert prepared["available_node_types"]["worker"]["max_workers"] == 4
    broken = {**prepared, "max_wrokers": 1}
    with pytest.raises(Exception, match="max_wrokers"):
        validate_config(broken)


def job() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "rayjob.yaml").read_text())
    return found


def worker_group(job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]
    return found


def container(job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = worker_group(job)["template"]["spec"]["containers"][0]
    return found


KUBERAY = Draft202012Validator(json.loads((Path(__file__).parent / "kuberay_rayjob_schema.json").read_text()))


def test_the_job_for_kubernetes_is_what_kuberay_takes() -> None:
    assert (job()["apiVersion"], job()["kind"]) == ("ray.io/v1", "RayJob")
    KUBERAY.validate(job())


BROKEN: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda job: job["spec"].update(entryPoint="x"), "'entryPoint' was unexpected"),
    (lambda job: job["spec"]["rayClusterSpec"].update(workerGroups=[]), "'workerGroups' was unexpected"),
    (lambda job: worker_group(job).pop("maxReplicas"), "'maxReplicas' is a required property"),
    (lambda job: worker_group(job).update(rayStartParams={"num-gpus": 1}), "1 is not of type 'string'"),
    (lambda job: worker_group(job)["template"]["spec"].update(volume=[]), "'volume' was unexpected"),
    (lambda job: container(job).update(volumeMount=[]), "'volumeMount' was unexpected"),
    (lambda job: container(job)["resources"].update(limit={}), "'limit' was unexpected"),
    (lambda job: container(job)["volumeMounts"][0].pop("mountPath"), "'mountPath' is a required property"),
]


@pytest.mark.parametrize(("breaks", "message"), BROKEN, ids=[message for _, message in BROKEN])
def test_a_job_that_kuberay_would_not_take_is_refused(breaks: Callable[[dict[str, Any]], object], message: str) -> None:
    broken = job()
    breaks(broken)
    with pytest.raises(ValidationError, match=message):
        KUBERAY.validate(broken)


def test_the_job_for_kubernetes_is_whole() -> None:
    """What no schema says: what is mounted is there, and the command is a launch on that cluster."""
    cluster = job()["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        mounted = {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}
    assert (
        job()["spec"]["entrypoint"].startswith("tune-kmixup launch ")
        and "--address auto" in job()["spec"]["entrypoint"]
    )


@pytest.mark.parametrize("file", sorted(DEPLOY.iterdir()), ids=lambda file: file.name)
def test_no_file_opens_the_dashboard(file: Path) -> None:
    """Ray's own default is loopback; it opens to others where it is told a host."""
    text = file.read_text()
    assert "ray" in text and "dashboard-host" not in text and "dashboard_host" not in text


# What Slurm would do, with two nodes that are namespaces of this machine: each has a network address, processes and a
# /tmp/ray of its own. As with Slurm, the script itself runs on the first. Whatever is left when it ends goes with it.
ISOLATED = ["--pid", "--fork", "--kill-child", "--mount", "--mount-proc"]
SLURM = {
    "scontrol": "echo node1; sleep 0.2; echo node2",  # the first is read by then, and the pipe may be closed
    "sbatch": """
mount --bind "$STAND_INS/hosts" /etc/hosts
exec bash "$@"
""",
    "srun": f"""
while [[ "$1" == --* ]]; do shift; done
isolated="unshare {" ".join(ISOLATED)}"
$isolated --net node 2 "$@" & second=$!
until [[ "$(readlink /proc/$second/ns/net)" != "$(readlink /proc/self/ns/net)" ]]; do sleep 0.1; done
ip link add eth1 type veth peer name eth2 netns $second
$isolated node 1 "$@" & first=$!
wait $first && wait $second
""",
    "node": """
until ip link set eth$1 up 2>/dev/null; do sleep 0.1; done
ip link set lo up && ip address add 10.77.0.$1/24 dev eth$1 && ip route add default dev eth$1
mount -t tmpfs tmpfs /tmp/ray
"${@:2}"
""",  # no exec: the shell is process 1, and buries what Ray leaves
    "tune-kmixup": f'exec {sys.executable} -m tune_kmixup "$@"',
}

# Says which node trained.
NODES = """
import os
from pathlib import Path
from search_spaces.tasks import TASKS
from tune_kmixup.models import ARCHITECTURES, mlp
from tune_kmixup.study import Recipe, Task

def noted(shape, classes):
    Path(os.environ["STAND_INS"], f"trained-on-{os.stat('/proc/self/ns/net').st_ino}").touch()
    return mlp(shape, classes)

ARCHITECTURES["noted"] = noted
recipe = Recipe(epochs=2, batch_size=50, lr=0.1)
TASKS["iris/noted"] = tuple(Task("iris", "noted", recipe, outer_split=split) for split in (0, 1))
"""


@pytest.mark.thorough
def test_the_slurm_script_with_a_stand_in_for_slurm(tmp_path: Path) -> None:
    """The script and `ray symmetric-run` are real, on two nodes of one CPU each; `srun` and `scontrol` stand in."""
    node = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--net", *ISOLATED]
    can = subprocess.run([*node, "ip", "link", "add", "eth1", "type", "veth"], capture_output=True, text=True)
    if can.returncode:
        pytest.skip(f"two nodes on one machine need network namespaces: {can.stderr}")
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n10.77.0.1 node1\n10.77.0.2 node2\n")
    (tmp_path / "nodes.py").write_text(NODES)
    Path("/tmp/ray").mkdir(exist_ok=True)
    for name, text in SLURM.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    env |= {"PATH": f"{tmp_path}:{Path(sys.executable).parent}:{env['PATH']}", "PYTHONPATH": str(DEPLOY.parent)}
    env |= {"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_NUM_NODES": "2", "SLURM_CPUS_PER_TASK": "1"}
    env |= {"STAND_INS": str(tmp_path), "RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT": "120"}
    env["RAY_gcs_rpc_server_reconnect_timeout_s"] = "5"  # the second node would wait for a minute
    args = ["iris/noted", "--load", str(tmp_path / "nodes.py"), "--method", "erm", "--search-seeds", "1"]
    args += ["--final-seeds", "2", "--batch-seeds", "off", "--out", str(tmp_path / "run")]
    done = subprocess.run(
        [*node, "sbatch", str(DEPLOY / "slurm.sh"), *args],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = launch_status(RunDir(tmp_path / "run"))
    assert (found.state, found.slots) == ("ended", 2)
    assert [study.final_done for study in found.studies] == [2, 2]
    assert len(list(tmp_path.glob("trained-on-*"))) == 2
