#!/usr/bin/env bash
# A growing trial on a GPU, whole; then one that is killed in the middle and goes on from its checkpoint.
#   bash benchmarks/gpu/growth_3m.sh CORPUS OUT
set -u
corpus=$(realpath "$1"); out=$(realpath "$2"); here=$(cd "$(dirname "$0")" && pwd)
cd "$out"
export GROWLAB_STORAGE=sqlite:///growth_3m.db GROWLAB_CACHE=$out/cache GROWLAB_ARTIFACTS=$out/artifacts
growlab() { python3 -m growlab "$@"; }
set_path=(--set "data.path=$corpus")

growlab study run "$here/growth_3m.yaml" --device cuda "${set_path[@]}" >run.log 2>&1; echo "study run: exit $?"
growlab report growth-3m --format table
growlab report growth-3m --trial 0 | tee growth_3m_report.txt

growlab study create "$here/growth_3m.yaml" --name killed "${set_path[@]}" --set budget.steps=1500
python3 -m growlab worker killed --device cuda --lease 5 --name first & first=$!
sleep 20; kill -9 $first; wait $first 2>/dev/null
growlab worker killed --device cuda --lease 5 --name second; echo "second worker: exit $?"
growlab report killed --trial 0 | grep -v '⠀' | tee killed_report.txt
rm -rf artifacts cache
