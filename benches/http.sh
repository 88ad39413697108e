#!/bin/sh
# Measures the example `http` beside nginx: requests a second for a short text over persistent
# connections, and CPU time of the server a request, which is the better figure on a shared machine. Each
# server has one core, in alternation, and the client has another. Skips with a message without wrk,
# nginx, curl, taskset or two cores.
#
#   benches/http.sh            7 rounds of 3 seconds for each line; some two minutes
#   ROUNDS=3 SECONDS_EACH=1 benches/http.sh
#   SPIN=0 benches/http.sh     http without busy polling
set -eu
cd "$(dirname "$0")/.."

rounds=${ROUNDS:-7} seconds=${SECONDS_EACH:-3}

missing=
for tool in wrk nginx taskset curl; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
done
if [ -n "$missing" ]; then
    echo "http.sh: skipped, because these programs are missing:$missing" >&2
    exit 0
fi
if [ "$(nproc)" -lt 2 ]; then
    echo "http.sh: skipped, because it needs two cores, one for the server and one for the client" >&2
    exit 0
fi

if [ -z "${HTTP:-}" ]; then
    cargo build --quiet --release --example http
    HTTP=${CARGO_TARGET_DIR:-target}/release/examples/http
fi

dir=$(mktemp -d)
ours= theirs=
trap 'kill $ours $theirs 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"' EXIT
chmod 755 "$dir"

taskset -c 0 "$HTTP" 127.0.0.1:0 ${SPIN:+--busy-poll "$SPIN"} >"$dir/ours" &
ours=$!
for _ in $(seq 100); do
    [ -s "$dir/ours" ] && break
    sleep 0.05
done
our_addr=$(sed -n 's/^listening tcp //p' "$dir/ours")

# nginx does not accept port 0, so this finds a free one.
their_port=28080
while curl -s -o "$dir/probe" --max-time 1 "http://127.0.0.1:$their_port/"; do
    their_port=$((their_port + 1))
done
cat >"$dir/nginx.conf" <<CONF
worker_processes 1;
daemon off;
pid $dir/nginx.pid;
error_log $dir/error.log;
events { worker_connections 4096; multi_accept on; }
http {
    access_log off;
    keepalive_requests 1000000000;
    default_type text/plain;
    server {
        listen 127.0.0.1:$their_port;
        location / { return 200 "hello, world"; }
    }
}
CONF
taskset -c 0 nginx -p "$dir" -c "$dir/nginx.conf" -e "$dir/error.log" &
theirs=$!
their_addr=127.0.0.1:$their_port

for addr in "$our_addr" "$their_addr"; do
    answer=$(curl -s --retry 20 --retry-connrefused --retry-delay 1 --max-time 30 "http://$addr/")
    [ "$answer" = "hello, world" ] || { echo "http.sh: $addr answers $answer" >&2; exit 1; }
done

cat >"$dir/pipeline.lua" <<'LUA'
init = function()
    local requests = {}
    for nth = 1, 16 do requests[nth] = wrk.format("GET", "/") end
    all = table.concat(requests)
end
request = function() return all end
LUA

# cpu PID: nanoseconds of CPU time of a process
cpu() {
    cut -d' ' -f1 "/proc/$1/schedstat"
}

# rate PID ADDR CONNECTIONS [SCRIPT]: requests a second of one round, and microseconds of CPU each
rate() {
    before=$(cpu "$1")
    taskset -c 1 timeout $((seconds + 10)) wrk -t1 -c"$3" -d"$seconds"s ${4:+-s "$4"} \
        "http://$2/" >"$dir/wrk"
    after=$(cpu "$1")
    if grep -q -e 'Socket errors' -e 'Non-2xx' "$dir/wrk"; then
        cat "$dir/wrk" >&2
        exit 1
    fi
    awk -v ns=$((after - before)) '
        $2 == "requests" { n = $1 } $1 == "Requests/sec:" { print $2, ns / n / 1000 }' "$dir/wrk"
}

# median of the numbers on standard input, and half of their interquartile range
summary() {
    sort -n | awk '{ a[NR] = $1 }
        function at(p,  x, i) { x = 1 + (NR - 1) * p; i = int(x); return a[i] + (x - i) * (a[i < NR ? i + 1 : i] - a[i]) }
        END { printf "%s %s\n", at(0.5), (at(0.75) - at(0.25)) / 2 }'
}

# row NAME CONNECTIONS [SCRIPT]
row() {
    name=$1
    shift
    : >"$dir/rounds"
    for round in $(seq "$rounds"); do
        # The first server alternates.
        if [ $((round % 2)) = 0 ]; then
            b=$(rate "$worker" "$their_addr" "$@"); a=$(rate "$ours" "$our_addr" "$@")
        else
            a=$(rate "$ours" "$our_addr" "$@"); b=$(rate "$worker" "$their_addr" "$@")
        fi
        echo "$a $b" | awk '{ print $0, $1 / $3, $2 / $4 }' >>"$dir/rounds"
    done
    for column in 1 3 5 2 4 6; do
        cut -d' ' -f$column "$dir/rounds" | summary
    done | awk -v name="$name" '{ median[NR] = $1; noise[NR] = $2 }
        END { printf "| %s | %.0f | %.0f | %.2f ± %.2f | %.1f | %.1f | %.2f ± %.2f |\n", name,
              median[1], median[2], median[3], noise[3], median[4], median[5], median[6], noise[6] }'
}

# The CPU time of nginx is that of its one worker.
worker=$(cat "/proc/$theirs/task/$theirs/children" | tr -d ' ')
echo "| | http, requests/s | nginx | ratio | http, us of CPU a request | nginx | ratio |"
echo "|---|---|---|---|---|---|---|"
row "1 connection" 1
row "50 connections" 50
row "500 connections" 500
row "50 connections, 16 requests at once" 50 "$dir/pipeline.lua"
