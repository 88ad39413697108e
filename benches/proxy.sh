#!/usr/bin/env bash
# Measures one bulk stream through our proxies, haproxy and socat, in one run: each proxy alone on the
# first processor, source and sink on the second. Skips programs that are not installed. Takes some
# minutes:
#
#   benches/proxy.sh [ROUNDS] [MIB]
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-9} mib=${2:-1024}
target=${CARGO_TARGET_DIR:-target}/release/examples

for program in python3 taskset timeout; do
    command -v "$program" >/dev/null || { echo "skipped: $program is not installed"; exit 0; }
done
cargo build --release --locked --quiet --example proxy --example socks5

work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT

base=$((20000 + RANDOM % 10000))
source=$base
proxies=()

# start NAME PORT [socks] -- COMMAND...
start() {
    local name=$1 port=$2 kind=$3
    shift 4
    taskset -c 0 timeout --foreground 900 "$@" >"$work/$port.out" 2>&1 &
    pids+=($!)
    for _ in $(seq 100); do
        if grep -q ":$(printf %04X "$port") 00000000:0000 0A" /proc/net/tcp; then
            # The child of `timeout` is the proxy.
            proxies+=("$name=$port=$(tr -d ' ' <"/proc/$!/task/$!/children")${kind:+=$kind}")
            return
        fi
        sleep 0.05
    done
    echo "skipped: $name does not listen: $(head -c 300 "$work/$port.out")"
}

start "examples/proxy" $((base + 1)) "" -- "$target/proxy" "127.0.0.1:$((base + 1))" "127.0.0.1:$source"
start "examples/socks5" $((base + 2)) socks -- "$target/socks5" --allow-private "127.0.0.1:$((base + 2))"

if command -v haproxy >/dev/null; then
    haproxy_with() {
        cat >"$work/$2.cfg" <<EOF
global
    nbthread 1
    $3
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    $4
listen bulk
    bind 127.0.0.1:$2
    server source 127.0.0.1:$source
EOF
        start "$1" "$2" "" -- haproxy -db -f "$work/$2.cfg"
    }
    haproxy_with "haproxy" $((base + 3)) "" ""
    haproxy_with "haproxy, bufsize 256 KiB" $((base + 4)) "tune.bufsize 262144" ""
    haproxy_with "haproxy, splice" $((base + 5)) "" "option splice-response"
else
    echo "skipped: haproxy is not installed"
fi

if command -v socat >/dev/null; then
    for size in 65536 262144; do
        port=$((base + 6 + size / 262144))
        start "socat -b $size" "$port" "" -- \
            socat -b "$size" "TCP-LISTEN:$port,bind=127.0.0.1,fork,reuseaddr" "TCP:127.0.0.1:$source"
    done
else
    echo "skipped: socat is not installed"
fi

taskset -c 1 timeout 900 python3 benches/support/bulk.py "$rounds" "$mib" "$source" "${proxies[@]}"
