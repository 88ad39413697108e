#!/bin/sh
# Counts the cost of one message, one short connection (accept, one echo, close) and one datagram for
# the server: user-space instructions with valgrind, system calls with strace. Each is the difference of
# two runs of different length, so that start and end cancel out. "bare" is the same echo written
# directly on mio, "loop" a blocking loop of recvfrom and sendto, "command" is `socketserver serve echo`.
#
# A traced server is slow, so the number of datagrams that it receives at once is not that of a server
# without a tracer. "50 at once" does not depend on it: all 50 clients send, and then wait for all 50
# answers, so the batches are large. With "50 clients" each sends its next datagram after an answer, and
# the counts depend on the scheduler.
#
#   benches/count.sh               all tables
#   benches/count.sh profile       also the instructions of each function
#
# TOOLS="valgrind" or TOOLS="strace" prints the tables of that tool only, ROWS="datagram" the rows whose
# titles contain that word.
set -eu
cd "$(dirname "$0")/.."

tools=${TOOLS:-"valgrind strace"}
missing=
for tool in $tools; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
done
if [ -n "$missing" ]; then
    echo "count.sh: these programs are missing:$missing" >&2
    exit 1
fi

cost=$(cargo bench --quiet --bench cost --no-run --message-format=json |
    sed -n 's|.*"executable":"\([^"]*/cost-[^"/]*\)".*|\1|p' | tail -n 1)
[ -x "$cost" ] || { echo "count.sh: no executable of the benchmark cost" >&2; exit 1; }
# The command is counted as it is installed: with the profile `release`, or as COMMAND=PATH says.
command=${COMMAND:-}
if [ -z "$command" ]; then
    command=$(cargo build --quiet --release --bin socketserver --message-format=json |
        sed -n 's|.*"executable":"\([^"]*/socketserver\)".*|\1|p' | tail -n 1)
fi

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# drive FILE SERVER WHAT N ...: instructions of the whole run; the server `command` is `socketserver serve echo`
instructions() {
    file=$1 program=
    shift
    [ "$1" != command ] || program="$command serve echo --tcp 127.0.0.1:0"
    # shellcheck disable=SC2086 # one word for each argument
    "$cost" drive "$@" -- valgrind --quiet --tool=callgrind \
        --compress-strings=no --compress-pos=no --callgrind-out-file="$file" $program 2>"$dir/log" ||
        { cat "$dir/log" >&2; exit 1; }
    sed -n 's/^summary: *//p' "$file"
}

# drive FILE SERVER WHAT N ...: system calls of the whole run
calls() {
    file=$1
    shift
    "$cost" drive "$@" -- strace -f -c -U name,calls -o "$file" 2>"$dir/log" ||
        { cat "$dir/log" >&2; exit 1; }
    awk '$1 == "total" { print $2 }' "$file"
}

# difference HOW SERVER WHAT FEW MANY ...: the cost of one of the MANY - FEW
difference() {
    how=$1 server=$2 what=$3 few=$4 many=$5
    shift 5
    a=$("$how" "$dir/few" "$server" "$what" "$few" "$@")
    b=$("$how" "$dir/$server-$what" "$server" "$what" "$many" "$@")
    awk -v a="$a" -v b="$b" -v n=$((many - few)) 'BEGIN { printf "%.2f", (b - a) / n }'
}

# wanted TITLE: whether ROWS selects this row
wanted() {
    case $1 in *"${ROWS-}"*) ;; *) return 1 ;; esac
}

# heading TITLE SERVER ...: begins a table of these servers
heading() {
    title=$1
    shift
    servers=$*
    printf '%-48s' "$title"
    printf ' %10s' "$@"
    echo
}

# row TITLE HOW WHAT FEW MANY ...
row() {
    title=$1
    shift
    wanted "$title" || return 0
    how=$1
    shift
    printf '%-48s' "$title"
    for server in $servers; do
        each=$(difference "$how" "$server" "$@")
        printf ' %10s' "$each"
    done
    echo
}

case " $tools " in *" valgrind "*)
    heading 'user-space instructions' ours bare
    row 'a message of 64 B, 50 connections' instructions messages 1000 11000 50 64
    row 'a short connection, 50 at a time' instructions short 200 2200 50
    row 'a short connection, one at a time' instructions short 100 1100 1
    heading 'user-space instructions, the command' command
    row 'a message of 64 B, 50 connections' instructions messages 1000 11000 50 64
    heading 'user-space instructions, udp' ours loop mio
    row 'a datagram of 64 B, 1 client' instructions datagrams 100 2100 1 64
    row 'a datagram of 64 B, 50 clients' instructions datagrams 1000 11000 50 64
    row 'a datagram of 64 B, 50 at once' instructions together 1000 11000 50 64
    ;;
esac
case " $tools " in *" strace "*)
    heading 'system calls' ours bare
    row 'a message of 64 B, 1 connection' calls messages 100 2100 1 64
    row 'a message of 64 B, 50 connections' calls messages 1000 11000 50 64
    row 'a message of 64 B, 1,000 connections' calls messages 2000 22000 1000 64
    row 'a message of 16 KiB, 50 connections' calls messages 1000 11000 50 16384
    row 'a short connection, 50 at a time' calls short 200 2200 50
    row 'a short connection, one at a time' calls short 100 1100 1
    row 'a MiB of one bulk stream' calls bulk 16 116
    heading 'system calls, udp' ours loop mio
    row 'a datagram of 64 B, 1 client' calls datagrams 100 2100 1 64
    row 'a datagram of 64 B, 50 clients' calls datagrams 1000 11000 50 64
    row 'a datagram of 64 B, 50 at once' calls together 1000 11000 50 64
    ;;
esac

# by_place FILE: the instructions of each function and each source line, without callees
by_place() {
    awk '
        /^(fl|fi|fe)=/ { file = substr($0, 4); next }
        /^fn=/ { fn = substr($0, 4); next }
        /^calls=/ { called = 1; next }
        /^[0-9]+ [0-9]+$/ {
            if (!called) { sum["function " fn] += $2; sum["line " file ":" $1] += $2 }
            called = 0
        }
        END { for (place in sum) print sum[place] "\t" place }
    ' "$1"
}

# profile TITLE WHAT FEW MANY ...: the instructions of one message, short connection or datagram by place
profile() {
    wanted "$1" || return 0
    title=$1 what=$2 few=$3 many=$4
    shift 4
    for n in "$few" "$many"; do
        instructions "$dir/$n" ours "$what" "$n" "$@" >/dev/null
        by_place "$dir/$n" >"$dir/$n.places"
    done
    for kind in function line; do
        printf '\nour instructions, %s, by %s (at least 2)\n' "$title" "$kind"
        awk -F '\t' -v n=$((many - few)) -v kind="$kind" '
            index($2, kind " ") != 1 { next }
            NR == FNR { few[$2] = $1; next }
            ($1 - few[$2]) / n >= 2 { printf "%8.1f %s\n", ($1 - few[$2]) / n, substr($2, length(kind) + 2) }
        ' "$dir/$few.places" "$dir/$many.places" | sort -rn | sed "s|$PWD/||"
    done
}

if [ "${1-}" = profile ]; then
    profile 'a message of 64 B, 50 connections' messages 1000 11000 50 64
    profile 'a short connection, 50 at a time' short 200 2200 50
    profile 'a datagram of 64 B, 1 client' datagrams 100 2100 1 64
    profile 'a datagram of 64 B, 50 at once' together 1000 11000 50 64
fi
