#!/usr/bin/env bash
# Measures the example kv beside redis-server: both on the first core, in alternation, and
# redis-benchmark on the last. Prints one line for each command and pipeline depth: the medians of the
# rounds, and the ratios of kv to redis-server. Throughput depends on other programs of the machine, CPU
# time of the server a request does far less.
# SPIN=0 measures kv without busy polling.
#   benches/kv.sh [ROUNDS] [CONNECTIONS] [REQUESTS AT PIPELINE 1]
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-9} clients=${2:-50} requests=${3:-100000}

for program in redis-server redis-benchmark redis-cli taskset cargo; do
    command -v "$program" >/dev/null || { echo "kv.sh: $program is missing" >&2; exit 1; }
done
[ "$(nproc)" -ge 2 ] || { echo "kv.sh: needs two cores, one of them for the server" >&2; exit 1; }
cargo build --quiet --release --locked --example kv
kv=${CARGO_TARGET_DIR:-target}/release/examples/kv

work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT

taskset -c 0 "$kv" 127.0.0.1:0 $((1 << 30)) ${SPIN:-} >"$work/kv" &
pids+=($!)
redis_port=$((20000 + RANDOM % 10000))
taskset -c 0 redis-server --save '' --appendonly no --bind 127.0.0.1 --port "$redis_port" >/dev/null &
pids+=($!)
for _ in $(seq 100); do
    kv_port=$(sed -n 's/^listening .*://p' "$work/kv")
    [ -n "$kv_port" ] && redis-cli -p "$kv_port" ping >/dev/null 2>&1 &&
        redis-cli -p "$redis_port" ping >/dev/null 2>&1 && break
    sleep 0.1
done

# CPU time of a process, in hundredths of a second.
ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"; }

# measure NAME PORT PID COMMAND PIPELINE: appends "requests a second, CPU time of a request" to a file.
measure() {
    local n=$((requests * ($5 > 1 ? 5 : 1))) before rate
    before=$(ticks "$3")
    rate=$(timeout 120 taskset -c "$(($(nproc) - 1))" redis-benchmark -p "$2" -c "$clients" -P "$5" \
        -n "$n" -r 100000 -t "$4" -q | tr '\r' '\n' |
        sed -n 's/.*: \([0-9.]*\) requests per second.*/\1/p' | tail -1)
    awk -v rate="$rate" -v ticks="$(($(ticks "$3") - before))" -v n="$n" \
        'BEGIN { print rate, ticks * 10000 / n }' >>"$work/$1-$4-$5"
}

# median FILE COLUMN
median() { awk -v c="$2" '{ print $c }' "$1" | sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

for round in $(seq "$rounds"); do
    for pipeline in 1 16; do
        for command in set get; do
            # The first server changes from round to round.
            for nth in 0 1; do
                if [ $(((round + nth) % 2)) = 0 ]; then
                    measure kv "$kv_port" "${pids[0]}" "$command" "$pipeline"
                else
                    measure redis "$redis_port" "${pids[1]}" "$command" "$pipeline"
                fi
            done
        done
    done
done

echo "$(redis-server --version | cut -d' ' -f1-3), $clients connections, median of $rounds rounds, $(date +%F)"
echo
echo "| command | pipeline | kv, requests/s | redis-server | ratio (quartiles) | CPU of a request, us: kv | redis-server | ratio |"
echo "|---|---|---|---|---|---|---|---|"
for pipeline in 1 16; do
    for command in set get; do
        ours=$work/kv-$command-$pipeline theirs=$work/redis-$command-$pipeline
        paste "$ours" "$theirs" | awk '{ print $1 / $3, ($4 ? $2 / $4 : 0) }' >"$work/both"
        middle=$(sort -g "$work/both" | awk '{ v[NR] = $1 } END {
            printf "%.2f to %.2f", v[int((NR + 3) / 4)], v[int((3 * NR + 3) / 4)] }')
        awk -v command="${command^^}" -v pipeline="$pipeline" -v middle="$middle" \
            -v a="$(median "$ours" 1)" -v b="$(median "$theirs" 1)" \
            -v x="$(median "$ours" 2)" -v y="$(median "$theirs" 2)" \
            -v p="$(median "$work/both" 1)" -v q="$(median "$work/both" 2)" 'BEGIN {
                printf "| %s | %d | %d | %d | %.2f (%s) | %.2f | %.2f | %.2f |\n",
                    command, pipeline, a, b, p, middle, x, y, q }'
    done
done
