#!/bin/bash
# One launch under Slurm, on any number of nodes:
#
#   sbatch --nodes 4 deploy/slurm.sh cifar10/preact_resnet18 --gpus-per-trial 0.5 --out /shared/cifar10
#
# The arguments of this script are those of `tune-kmixup launch`. The run directory is on the file system that the nodes
# share. Activate your Python environment before sbatch, or in this script.
#
# Three minutes before the time limit, Slurm sends SIGTERM. Running trials save, and the job ends with exit code 143.
# Submit the same command again to continue. Or let the job do it: `REQUEUE=1 sbatch ...` puts it back into the queue.
# To stop a launch in the same way at any time: `scancel --batch --signal=TERM JOB`.
#SBATCH --job-name=tune-kmixup
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@180
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

read -r head < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
read -r address _ < <(getent hosts "$head")

# Other users of these nodes can reach Ray's port. So Ray asks for a token that only this job has.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')

# The launch runs on the first node, where this script runs too. They talk through two files: a signal goes in through
# one, and the exit code comes out through the other, since `ray symmetric-run` itself exits with 1 if it stops the Ray
# that it is connected to (Ray 2.60).
files=$(mktemp -d)
mkfifo "$files/stop"
echo 1 >"$files/code"
exec 3<>"$files/stop" # open for both, so that a signal may come before the launch

# shellcheck disable=SC2329 # it is called below, on another shell
launch() {
    local files=$1 launch stop code=0
    tune-kmixup launch --address auto "${@:2}" &
    launch=$!
    { read -r _ <"$files/stop" && kill -TERM "$launch"; } & # the launch alone: Ray has to be there while trials save
    stop=$!
    wait "$launch" || code=$?
    echo "$code" >"$files/code"
    kill "$stop" 2>/dev/null || true
}

# Starts Ray on every node, runs the launch on the first node, and stops Ray when the launch has ended. Without
# --num-cpus, Ray would use all CPUs of a node, even those of other jobs. In the background, since bash handles signals
# only between commands. A signal ends `wait`.
trap 'echo >&3' TERM
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" \
    ray symmetric-run --address "$address:6379" --min-nodes "$SLURM_JOB_NUM_NODES" --num-cpus "$SLURM_CPUS_PER_TASK" -- \
    bash -c "$(declare -f launch)"'; launch "$@"' launch "$files" "$@" 3>&- &
while kill -0 $! 2>/dev/null; do wait $! || true; done

code=$(cat "$files/code")
rm -r "$files"
if ((code == 143)) && [[ -n "${REQUEUE:-}" ]]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit "$code"
