#!/usr/bin/env bash
# The shipped study `hybrid`, cut to 8 trials, on all GPUs of this machine: growlab worker --device all.
# Then a worker on a GPU is killed in the middle of a trial, and another goes on from its checkpoint.
#   bash benchmarks/gpu/hybrid.sh CORPUS OUT
set -u
corpus=$(realpath -e "${1:?CORPUS}") || exit 2
out=$(realpath -e "${2:?OUT}") || exit 2
export GROWLAB_STORAGE=sqlite:///$out/hybrid.db GROWLAB_CACHE=$out/cache GROWLAB_ARTIFACTS=$out/artifacts
growlab() { python3 -m growlab "$@"; }
data=(--set data.source=text --set "data.path=$corpus")

growlab study create hybrid "${data[@]}" --set n_trials=8
growlab worker hybrid --device all & one=$!
growlab worker hybrid --device all --lease 30 --max-time 400; echo "worker --device all: exit $?"
wait $one; echo "another beside it: exit $?"
growlab report hybrid --format table

growlab study create hybrid --name killed "${data[@]}" --set n_trials=1 --set growth.trigger=stagnation --set budget.steps=1200
python3 -m growlab worker killed --device cuda --lease 5 --checkpoint-every 2 --name first & first=$!
until growlab report killed --trial 0 --json 2>/dev/null | grep -q '"newest_step": [1-9]'; do
  kill -0 $first || exit 1
  sleep 0.5
done
kill -9 $first; wait $first 2>/dev/null
growlab worker killed --device cuda --lease 5 --name second; echo "second worker: exit $?"
growlab report killed --trial 0
rm -rf "${out:?}/artifacts" "${out:?}/cache"
