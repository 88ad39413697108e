#!/usr/bin/env python3
"""Measures the longest PING of the example kv and of redis-server while keys are added.

For each server one process adds the keys (pipelines of 500 SET), another sends one PING after the other.
On a busy machine the longest PING of both grows; only the two of the same run can be compared.
    benches/kv_pings.py [KEYS] [KV_PROGRAM]
"""

import multiprocessing
import pathlib
import shutil
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
KEYS = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000_000
KV = sys.argv[2] if len(sys.argv) > 2 else None
PIPELINE = 500


def add_keys(port):
    with socket.create_connection(("127.0.0.1", port)) as stream:
        for first in range(0, KEYS, PIPELINE):
            count = min(PIPELINE, KEYS - first)
            stream.sendall(b"".join(
                b"*3\r\n$3\r\nSET\r\n$12\r\nkey:%08d\r\n$5\r\nvalue\r\n" % n
                for n in range(first, first + count)))
            missing = count * len(b"+OK\r\n")
            while missing:
                answer = stream.recv(65536)
                if not answer.startswith((b"+", b"O", b"K", b"\r", b"\n")):
                    sys.exit(f"kv_pings.py: {answer[:100]}")
                missing -= len(answer)


def pings(port):
    """The longest PINGs in milliseconds, and the time of all in seconds, while the keys are added."""
    adding = multiprocessing.Process(target=add_keys, args=(port,))
    longest, began = [], time.monotonic()
    with socket.create_connection(("127.0.0.1", port)) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        adding.start()
        while adding.is_alive():
            before = time.monotonic()
            stream.sendall(b"PING\r\n")
            stream.recv(100)
            longest = sorted([*longest, (time.monotonic() - before) * 1e3], reverse=True)[:5]
            time.sleep(0.0002)
    if adding.exitcode:
        sys.exit(1)
    return longest, time.monotonic() - began


def port_of(line):
    return int(line.rsplit(":", 1)[1])


def run_kv():
    program = KV
    if not program:
        subprocess.run(["cargo", "build", "--quiet", "--release", "--locked", "--example", "kv"],
                       cwd=ROOT, check=True)
        program = ROOT / "target/release/examples/kv"
    server = subprocess.Popen([program, "127.0.0.1:0", str(KEYS * 400)], stdout=subprocess.PIPE)
    return server, port_of(server.stdout.readline().decode())


def run_redis():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(["redis-server", "--save", "", "--bind", "127.0.0.1", "--port", str(port)],
                              stdout=subprocess.DEVNULL)
    while server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return server, port
        except ConnectionRefusedError:
            time.sleep(0.1)
    sys.exit("kv_pings.py: redis-server did not start")


def memory(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmRSS")).split()[1]) * 1024 // KEYS


def main():
    if not shutil.which("redis-server"):
        sys.exit("kv_pings.py: redis-server is missing")
    print(f"{KEYS} keys are added")
    for name, run in ("kv", run_kv), ("redis-server", run_redis):
        server, port = run()
        try:
            longest, seconds = pings(port)
            shown = ", ".join(f"{ms:.1f}" for ms in longest)
            print(f"{name:12}  longest PINGs {shown} ms; {seconds:.1f} s, {memory(server.pid)} bytes a key")
        finally:
            server.terminate()
            server.wait()


main()
