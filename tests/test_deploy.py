"""The files that start a cluster, tested by what they would do, as far as one machine shows it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.helpers.clusters import HEAD_ID, autoscaling_cluster
from tests.helpers.launches import ROOT, descendants, workers
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
    (lambda job: job["spec"]["rayClusterSpec"]["autoscalerOptions"].update(version=2), "2 is not one of"),
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


# A launch on a cluster of the shape that a file describes. The nodes are processes of this machine that claim to have
# what the file says, and a small task stands in for the file's.
SMALL = """
import ray
from pathlib import Path
from search_spaces.tasks import TASKS
from tune_kmixup.data.registry import DATASETS
from tune_kmixup.models import ARCHITECTURES, mlp
from tune_kmixup.planning.resources import Resources
from tune_kmixup.study import Recipe, Task

def noted(shape, classes):
    context = ray.get_runtime_context() if ray.is_initialized() else None
    if context and context.worker.mode == ray.WORKER_MODE:
        Path(__file__).with_name(f"trained-on-{context.get_node_id()}").touch()
    return mlp(shape, classes)

Resources.device = "cpu"
DATASETS["cifar10"] = DATASETS["iris"]
ARCHITECTURES["preact_resnet18"] = noted
recipe = Recipe(epochs=2, batch_size=50, lr=0.1)
TASKS["cifar10/preact_resnet18"] = (Task("cifar10", "preact_resnet18", recipe, outer_split=0),)
"""


def cluster_file() -> tuple[dict[str, Any], str]:
    """The kinds of nodes of deploy/cluster.yaml beside its head, and the launch in its first comment."""
    text = (DEPLOY / "cluster.yaml").read_text()
    config = yaml.safe_load(text)
    (launch,) = re.findall(r'^#   ray exec deploy/cluster.yaml "(tune-kmixup launch [^"]*)"', text, re.MULTILINE)
    kinds: dict[str, Any] = config["available_node_types"]
    assert kinds.pop(config["head_node_type"])["resources"] == {"CPU": 0}
    return kinds, launch


def job_file() -> tuple[dict[str, Any], str]:
    """Those of deploy/rayjob.yaml, as Ray's autoscaler for KubeRay reads it, and its entrypoint."""
    spec = job()["spec"]
    resource = {"metadata": {"name": "test", "namespace": "test"}, "spec": spec["rayClusterSpec"]}
    config = _derive_autoscaling_config_from_ray_cr(resource)
    kinds: dict[str, Any] = config["available_node_types"]
    assert kinds.pop(config["head_node_type"])["resources"]["CPU"] == 0
    for kind in kinds.values():
        assert kind["resources"].pop("memory") == 32 * 2**30  # more than this machine may have
    return kinds, spec["entrypoint"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "read",
    [
        pytest.param(cluster_file, marks=pytest.mark.thorough, id="cluster.yaml"),
        pytest.param(job_file, id="rayjob.yaml"),
    ],
)
def test_the_launch_of_a_file_runs_on_the_cluster_of_the_file(
    read: Callable[[], tuple[dict[str, Any], str]], tmp_path: Path
) -> None:
    """It begins without a worker. Version 1 of the autoscaler stands in for KubeRay's version 2, whose monitor needs a
    file here that Ray's wheel leaves out (fake_multi_node/example.yaml, Ray 2.60)."""
    kinds, launch = read()
    (kind,) = kinds.values()
    assert (kind["resources"], kind["min_workers"], kind["max_workers"]) == ({"CPU": 8, "GPU": 1}, 0, 4)
    kind |= {"max_workers": 2, "node_config": {}}  # less than the file's four, for this machine
    (tmp_path / "small.py").write_text(SMALL)
    command = f"{launch.replace('/shared', str(tmp_path))} --load {tmp_path}/small.py --method erm --search-seeds 1"
    command += " --final-seeds 4 --batch-seeds off"
    with autoscaling_cluster(kinds, most=2) as cluster:
        env = os.environ | {"RAY_ADDRESS": cluster.address, "PYTHONPATH": str(ROOT)}
        env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
        done = subprocess.run(["bash", "-c", command], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Waiting for a node with 1 CPU and 0.5 GPUs: the cluster has 1 node, 0 CPUs, 0 GPUs" in done.stdout
    found = launch_status(RunDir(tmp_path / "cifar10"))
    assert (found.state, [study.final_done for study in found.studies]) == ("ended", [4])
    nodes = [path.name.removeprefix("trained-on-") for path in tmp_path.glob("trained-on-*")]
    assert nodes and HEAD_ID not in nodes


IMAGE = (DEPLOY / "Dockerfile").read_text()


def test_the_image_holds_the_package(tmp_path: Path) -> None:
    """What the Dockerfile copies is enough to build it."""
    for *sources, target in map(str.split, re.findall("^COPY (.*)", IMAGE, re.MULTILINE)):
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, tmp_path / target, symlinks=True)
            else:
                shutil.copy(ROOT / source, tmp_path / target)
    assert (tmp_path / "constraints.txt").exists()
    build = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(tmp_path / "dist")], cwd=tmp_path, check=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    built = set(zipfile.ZipFile(wheel).namelist())
    assert {str(file.relative_to(ROOT)) for file in ROOT.glob("search_spaces/*.py")} <= built
    assert {f"tune_kmixup/{file.relative_to(ROOT)}" for file in ROOT.glob("analysis/**/*.py")} <= built
    assert "tune_kmixup/cli/commands.py" in built


def test_the_image_is_for_cpus_or_for_the_cuda_of_the_constraints() -> None:
    """And the job names the image that its comment and the Dockerfile's build."""
    assert "ARG TORCH=cpu\n" in IMAGE and '--torch-backend "$TORCH"' in IMAGE
    (cuda,) = re.findall(r"^cuda-toolkit==(\d+)\.(\d+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    build = f"docker build -f deploy/Dockerfile --build-arg TORCH=cu{''.join(cuda)} -t {container(job())['image']} ."
    for file in (DEPLOY / "Dockerfile", DEPLOY / "rayjob.yaml", ROOT / "docs" / "cluster.md"):
        assert build in file.read_text()


@pytest.mark.parametrize(("linter", "file"), [("hadolint", "Dockerfile"), ("shellcheck", "slurm.sh")])
def test_a_linter_finds_nothing(linter: str, file: str) -> None:
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run([linter, str(DEPLOY / file)], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# What Slurm would do, with two nodes that are namespaces of this machine: each has a network address, processes and a
# /tmp/ray of its own. As with Slurm, the script itself runs on the first. Whatever is left when it ends goes with it.
ISOLATED = ["--pid", "--fork", "--kill-child", "--mount", "--mount-proc"]
SLURM = {
    "scontrol": """
if [[ "$1" == requeue ]]; then echo "$2" >"$STAND_INS/requeued"; exit; fi
echo node1; sleep 0.2; echo node2
""",  # the first is read by then, and the pipe may be closed
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
import sys
from pathlib import Path
from search_spaces.tasks import TASKS
from tune_kmixup.models import ARCHITECTURES, mlp
from tune_kmixup.study import Recipe, Task

def noted(shape, classes):
    if "default_worker" in sys.argv[0]:
        Path(os.environ["STAND_INS"], f"trained-on-{os.stat('/proc/self/ns/net').st_ino}").touch()
    return mlp(shape, classes)

ARCHITECTURES["noted"] = noted
recipe = Recipe(epochs=2, batch_size=50, lr=0.1)
TASKS["iris/noted"] = tuple(Task("iris", "noted", recipe, outer_split=split) for split in (0, 1))
"""


def slurm_job(tmp_path: Path, *args: str) -> "subprocess.Popen[str]":
    """Submits the script. It and `ray symmetric-run` are real; the nodes, of one CPU each, and Slurm are stand-ins."""
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
    env |= {"PATH": f"{tmp_path}:{Path(sys.executable).parent}:{env['PATH']}", "PYTHONPATH": str(ROOT)}
    env |= {"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_NUM_NODES": "2", "SLURM_CPUS_PER_TASK": "1"}
    env |= {"SLURM_JOB_ID": "7", "REQUEUE": "1"}
    env |= {"STAND_INS": str(tmp_path), "RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT": "120"}
    env["RAY_gcs_rpc_server_reconnect_timeout_s"] = "5"  # the second node would wait for a minute
    common = ["--load", str(tmp_path / "nodes.py"), "--method", "erm", "--search-seeds", "1", "--final-seeds", "2"]
    common += ["--batch-seeds", "off", "--out", str(tmp_path / "run")]
    script = [*node, "sbatch", str(DEPLOY / "slurm.sh"), *args, *common]
    out = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(script, cwd=tmp_path, env=env, text=True, **out)  # type: ignore[call-overload,no-any-return]


@pytest.mark.thorough
def test_the_slurm_script_with_a_stand_in_for_slurm(tmp_path: Path) -> None:
    job = slurm_job(tmp_path, "iris/noted")
    printed, _ = job.communicate(timeout=300)
    assert job.returncode == 0, printed
    found = launch_status(RunDir(tmp_path / "run"))
    assert (found.state, found.slots) == ("ended", 2)
    assert [study.final_done for study in found.studies] == [2, 2]
    assert len(list(tmp_path.glob("trained-on-*"))) == 2
    assert not (tmp_path / "requeued").exists()


@pytest.mark.thorough
def test_a_signal_before_the_time_limit_saves_and_requeues(tmp_path: Path) -> None:
    job = slurm_job(tmp_path, "iris/noted", "--epochs", "20000")
    until = time.monotonic() + 200
    while not workers(job.pid) and job.poll() is None and time.monotonic() < until:
        time.sleep(0.2)
    time.sleep(1)  # in the middle of a run
    os.kill(descendants(job.pid)[1], signal.SIGTERM)  # as B: says, the batch shell alone
    printed, _ = job.communicate(timeout=90)
    assert job.returncode == 128 + signal.SIGTERM, printed
    assert launch_status(RunDir(tmp_path / "run")).state == "ended"
    assert list((tmp_path / "run" / "checkpoints").rglob("*.pt")), "the trials in progress were saved"
    assert (tmp_path / "requeued").read_text() == "7\n"
