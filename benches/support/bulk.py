"""Measures one bulk stream through each of several proxies, in interleaved rounds.

bulk.py ROUNDS MIB SOURCE_PORT NAME=PORT=PID[=socks]...: serves the stream on SOURCE_PORT from a child
process, receives it through each proxy, and prints medians, quartiles and ratios to the first proxy.
CPU is that of the proxy and its children, running or reaped.
"""

import os
import socket
import statistics
import struct
import sys
import time

PIECE = 1 << 20
TICKS = os.sysconf("SC_CLK_TCK")


def serve(listener, total):
    piece = bytes(PIECE)
    while True:
        stream, _ = listener.accept()
        try:
            for _ in range(total // PIECE):
                stream.sendall(piece)
        except OSError:
            pass
        stream.close()


def take(port, socks_target, total):
    stream = socket.create_connection(("127.0.0.1", port), timeout=60)
    if socks_target:
        ask = b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01" + struct.pack(">H", socks_target)
        stream.sendall(ask)
        answer = b""
        while len(answer) < 12:
            answer += stream.recv(12 - len(answer))
    buffer = bytearray(PIECE)
    got = 0
    while got < total:
        n = stream.recv_into(buffer)
        if n == 0:
            sys.exit(f"the stream ended after {got} of {total} bytes")
        got += n
    stream.close()


def cpu(pid):
    """Returns seconds of CPU of a process and all its children, running or reaped."""
    used = 0
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    used += sum(int(field) for field in fields[11:15])
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        for child in children.read().split():
            try:
                used += cpu(child) * TICKS
            except OSError:
                pass
    return used / TICKS


def quartiles(values):
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return middle, low, high


def main():
    rounds, total, source = int(sys.argv[1]), int(sys.argv[2]) << 20, int(sys.argv[3])
    proxies = [(word.split("=") + [""])[:4] for word in sys.argv[4:]]
    listener = socket.create_server(("127.0.0.1", source), backlog=16)
    child = os.fork()
    if child == 0:
        serve(listener, total)
    listener.close()
    rates = {name: [] for name, *_ in proxies}
    costs = {name: [] for name, *_ in proxies}
    try:
        # The first round warms up.
        for nth in range(rounds + 1):
            for name, port, pid, socks in proxies:
                before = cpu(pid)
                began = time.monotonic()
                take(int(port), source if socks else None, total)
                seconds = time.monotonic() - began
                time.sleep(0.05)
                if nth > 0:
                    rates[name].append(total / seconds / 1e6)
                    costs[name].append((cpu(pid) - before) / (total / 2**30))
    finally:
        os.kill(child, 9)
    first = proxies[0][0]
    print(f"{rounds} rounds of {total >> 20} MiB; medians [lower, upper quartile]")
    print("| one bulk stream through | MB/s | beside ours | CPU s/GiB | beside ours |")
    print("|---|---|---|---|---|")
    for name, *_ in proxies:
        rate = [a / b for a, b in zip(rates[name], rates[first])]
        cost = [a / max(b, 1 / TICKS) for a, b in zip(costs[name], costs[first])]
        spread = lambda values: "{:.2f} [{:.2f}, {:.2f}]".format(*quartiles(values))
        print(
            f"| {name} | {statistics.median(rates[name]):,.0f} | {spread(rate)} "
            f"| {statistics.median(costs[name]):.3f} | {spread(cost)} |"
        )


main()
