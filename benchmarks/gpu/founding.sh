#!/usr/bin/env bash
# The first trial of each founding study, at full size, for a minute on a GPU: what its page says then.
#   benchmarks/gpu/founding.sh OUT pairs.json corpus.txt running.txt dictionary.txt stories.txt tinyshakespeare.txt
set -euo pipefail
out=$1 pairs=$2 corpus=$3 running=$4 dictionary=$5 stories=$6 shakespeare=$7
seconds=${SECONDS_EACH:-60}
mkdir -p "$out"
export GROWLAB_STORAGE=sqlite:///$out/growlab.db GROWLAB_ARTIFACTS=$out/artifacts

minute() {  # NAME and the paths of its texts: nothing else is said
    name=$1; shift
    python3 -m growlab study create "founding/$name" "$@" >"$out/$name.txt" 2>&1
    python3 -m growlab worker "$name" --max-time "$seconds" --device cuda >>"$out/$name.txt" 2>&1
    python3 -m growlab report "$name" --trial 0 >>"$out/$name.txt"
}

minute aether --set data.path="$pairs"
minute aetheris --set data.path="$corpus"
minute agiformer --set data.path="$running" --set curriculum.0.path="$dictionary" --set curriculum.1.path="$stories"
minute aiether --set data.path="$corpus"
minute hopfield --set data.path="$shakespeare"
rm -r "$out/artifacts"
