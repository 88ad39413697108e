"""The echo with Python's socketserver and asyncio; prints its address, stops at the end of standard input."""

import asyncio
import os
import socket
import socketserver
import sys
import threading

ANY_PORT = ("127.0.0.1", 0)
# The kernel limits it to its maximum.
BACKLOG = 2**31 - 1
BUFFER = 16 * 1024


class Handler(socketserver.BaseRequestHandler):
    def setup(self):
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def handle(self):
        while True:
            data = self.request.recv(BUFFER)
            if not data:
                return
            self.request.sendall(data)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = BACKLOG


def serve_socketserver():
    def end():
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=end, daemon=True).start()
    with Server(ANY_PORT, Handler) as server:
        announce(server.server_address)
        server.serve_forever()


class Protocol(asyncio.Protocol):
    def connection_made(self, transport):
        # asyncio sets TCP_NODELAY.
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


async def serve_asyncio():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Protocol, *ANY_PORT, backlog=BACKLOG)
    announce(server.sockets[0].getsockname())
    end = asyncio.Event()
    loop.add_reader(sys.stdin, end.set)
    await end.wait()
    os._exit(0)


def announce(address):
    print("%s:%d" % address, flush=True)


if sys.argv[1] == "serve-asyncio":
    asyncio.run(serve_asyncio())
else:
    serve_socketserver()
