#!/usr/bin/env bash
# Carries the published comparison on (search_spaces/comparison.py): every launch that has no report folder yet, one
# after another, the cheapest first. It can be stopped at any moment and started again.
#
#     make results                        # all launches, with the data sets in ~/.cache/tune-kmixup
#     make results DATA_DIR=/data NAMES="comparison-mnist-500-mlp sensitivity-val-rows"
#
# The suite itself is a wheel of the commit in docs/results/comparison/commit, in an environment of its own, so that
# later changes of the source stop nothing. A launch goes on with the commit that it was begun with. Runs stay in
# comparison/, which git ignores. A finished launch leaves its rows and its suite in docs/results/comparison/<name>:
# commit them.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD/comparison
results=$PWD/docs/results/comparison
DATA_DIR=${DATA_DIR:+$(realpath "$DATA_DIR")}
uv=$PWD/.venv/bin/uv
python=$PWD/.venv/bin/python
repository=$PWD

install_suite() { # a commit
    if [ ! -e "$root/env-$1/bin/tune-kmixup" ]; then
        rm -rf "$root/source"
        mkdir -p "$root/source"
        git -C "$repository" archive "$1" | tar -x -C "$root/source"
        "$uv" build --quiet --wheel --out-dir "$root/source/dist" "$root/source"
        "$uv" venv --quiet --clear --seed --python "$python" "$root/env-$1"
        "$uv" pip install --quiet --compile-bytecode --python "$root/env-$1/bin/python" \
            --constraints "$root/source/constraints.txt" "$root"/source/dist/*.whl
    fi
}

install_suite "$(cat "$results/commit")"
mkdir -p "$root/runs"
cd "$root" # so that Python finds the wheel, not the source
names=${NAMES:-$("env-$(cat "$results/commit")/bin/python" -c 'from search_spaces.comparison import COMPARISON, SENSITIVITY
print(*COMPARISON, *SENSITIVITY)')}
for name in $names; do
    if [ -e "$results/$name/results.parquet" ]; then
        continue
    fi
    if [ ! -e "runs/$name.commit" ]; then
        cp "$results/commit" "runs/$name.commit"
    fi
    commit=$(cat "runs/$name.commit")
    install_suite "$commit"
    bin=$root/env-$commit/bin
    # Seeds together are faster for small networks, one by one for LeNet and residual networks on a CPU
    # (docs/performance.md). Not measured anew, so that every repeat is computed in the same way on every machine.
    case $name in
    *lenet | *resnet) batch=off ;;
    *) batch=on ;;
    esac
    if [ -e "runs/$name/suite.json" ]; then
        "$bin/tune-kmixup" resume "runs/$name" --batch-seeds $batch ${DATA_DIR:+--data-dir "$DATA_DIR"}
    else
        "$bin/tune-kmixup" launch "$name" --out "runs/$name" --batch-seeds $batch ${DATA_DIR:+--data-dir "$DATA_DIR"}
    fi
    rm -rf "reports/$name"
    "$bin/tune-kmixup" report "runs/$name" --format csv --out "reports/$name"
    mkdir -p "$results/$name"
    cp "reports/$name/launches.json" "reports/$name/results.parquet" "$results/$name/" # the rows last
done
