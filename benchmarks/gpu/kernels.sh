#!/usr/bin/env bash
# All that kernels are held to on a GPU: their tests, what comparing them costs, each block with and without them.
#   bash benchmarks/gpu/kernels.sh OUT [tests|doors|windows|blocks|wide]...    # all of them; what is in OUT is not measured again
set -u
out=$(realpath -e "${1:?OUT}") || exit 2
here=$(cd "$(dirname "$0")" && pwd)
shift
export GROWLAB_CACHE=${GROWLAB_CACHE:-$out/cache}

tests() { # of kernels, of trials that run out of memory, of what a trial takes of it; then all contract tests of blocks
    (cd "$here/../.." && python3 -m pytest -q -m gpu tests/kernels tests/worker/test_retries.py tests/training/test_engine.py \
        tests/training/test_device.py tests/bench/test_blocks_alone.py tests/blocks) > "$out/tests.txt" 2>&1
    tail -15 "$out/tests.txt"
}
doors() { python3 "$here/doors.py" "$out/doors.jsonl"; }
windows() { # without a mask too, as GROWLAB_KERNELS=all opens that door
    python3 "$here/windows.py" "$out/windows.jsonl"
    [ -s "$out/swa.json" ] || GROWLAB_KERNELS=all python3 -m growlab bench --block swa --json > "$out/swa.json"
}
blocks() { bench blocks; }                                   # at 256, 4,096 and 16,384 tokens, 16,384 in a batch
wide() { bench wide --d-model 1024 --batch-size 8 --seq-len 4096; }
bench() { [ -s "$out/$1.json" ] || python3 -m growlab bench --block all --json --steps 10 "${@:2}" > "$out/$1.json"; }

for part in "${@:-tests doors windows blocks wide}"; do
    for each in $part; do "$each"; done
done
