#!/usr/bin/env bash
# Carries the published comparison on (search_spaces/comparison.py): every launch that has no report folder yet, one
# after another, the cheapest first. It can be stopped at any moment and started again.
#
#     make results                        # all launches, with the data sets in ~/.cache/tune-kmixup
#     make results DATA_DIR=/data NAMES="comparison-mnist-500-mlp sensitivity-val-rows"
#     benchmarks/comparison.sh pack       # what is under way, for another machine to go on with; also while it runs
#
# The suite itself is a wheel of the commit in docs/results/comparison/commit, in an environment of its own, so that
# later changes of the source stop nothing. A launch goes on with the commit that it was begun with. Runs stay in
# comparison/, which git ignores. A finished launch leaves its rows and its suite in docs/results/comparison/<name>, and
# `pack` leaves what is under way in docs/results/comparison/unfinished: commit them.
set -euo pipefail
shopt -s inherit_errexit

# Installs the suite of a commit. The file `complete` comes last, so that a stopped installation is made anew.
install_suite() {
    local environment=$root/env-$1 source=$root/source-$1
    if [ -e "$environment/complete" ]; then
        return
    fi
    rm -rf "$source"
    mkdir -p "$source"
    git -C "$repository" archive "$1" | tar -x -C "$source"
    "$uv" build --quiet --wheel --out-dir "$source/dist" "$source"
    "$uv" venv --quiet --clear --seed --python "$repository/.venv/bin/python" "$environment"
    "$uv" pip install --quiet --compile-bytecode --python "$environment/bin/python" \
        --constraints "$source/constraints.txt" "$source"/dist/*.whl
    rm -rf "$source"
    touch "$environment/complete"
}

# Copies a file whole or not at all.
put() {
    cp "$1" "$2.part"
    mv "$2.part" "$2"
}

all_launches() {
    install_suite "$(cat "$results/commit")" >&2
    "$root/env-$(cat "$results/commit")/bin/python" -c 'from search_spaces.comparison import COMPARISON, SENSITIVITY
print(*COMPARISON, *SENSITIVITY)'
}

# Packs the suite, proposals and rows of each launch under way. Checkpoints of runs in progress stay here.
pack() {
    local studies name
    mkdir -p "$results/unfinished"
    for studies in runs/*/studies; do
        name=${studies#runs/}
        name=${name%/studies}
        if [ -e "$studies" ] && [ ! -e "$results/$name/results.parquet" ]; then
            # suite.json comes last, as it says that the run is there. Exit code 1: a folder got a file meanwhile.
            tar -C runs -cJf pack.part --exclude "*.part" "$name.commit" "$name/studies" "$name/suite.json" || [ $? = 1 ]
            put pack.part "$results/unfinished/$name.tar.xz"
            rm pack.part
        fi
    done
}

carry_on() { # the name of a launch
    if [ ! -e "runs/$1/suite.json" ] && [ -e "$results/unfinished/$1.tar.xz" ]; then
        tar -C runs -xJf "$results/unfinished/$1.tar.xz"
    fi
    if [ ! -s "runs/$1.commit" ]; then
        if [ -e "runs/$1/suite.json" ]; then
            echo "$root/runs/$1 was begun with an unknown commit: write it into $root/runs/$1.commit." >&2
            exit 2
        fi
        put "$results/commit" "runs/$1.commit"
    fi
    local commit
    commit=$(cat "runs/$1.commit")
    install_suite "$commit"
    local suite=$root/env-$commit/bin/tune-kmixup
    if [ -e "runs/$1/suite.json" ]; then
        "$suite" resume "runs/$1" ${DATA_DIR:+--data-dir "$DATA_DIR"}
    else
        "$suite" launch "$1" --out "runs/$1" ${DATA_DIR:+--data-dir "$DATA_DIR"}
    fi
    rm -rf "reports/$1"
    "$suite" report "runs/$1" --format csv --out "reports/$1"
    mkdir -p "$results/$1"
    put "reports/$1/launches.json" "$results/$1/launches.json"
    put "reports/$1/results.parquet" "$results/$1/results.parquet" # the last: it says that the launch is finished
    rm -f "$results/unfinished/$1.tar.xz"
}

main() { # read whole before it runs, so that the file may change meanwhile
    cd "$(dirname "$0")/.."
    repository=$PWD
    root=$PWD/comparison
    results=$PWD/docs/results/comparison
    uv=$PWD/.venv/bin/uv
    DATA_DIR=${DATA_DIR:+$(realpath "$DATA_DIR")}
    mkdir -p "$root/runs"
    cd "$root" # so that Python finds the wheel, not the source
    if [ $# -gt 0 ]; then
        if [ "$*" != pack ]; then
            echo "$*: choose pack, or nothing." >&2
            exit 2
        fi
        pack
        return
    fi
    local name names
    names=${NAMES:-$(all_launches)}
    for name in $names; do
        if [ ! -e "$results/$name/results.parquet" ]; then
            carry_on "$name"
        fi
    done
}

main "$@"
exit
