"""The services of the transcripts on CPython's own socketserver: services.py SERVICE MODE TRANSPORT ADDR.

Says where it listens in the words of our command. Everything that is not a service is Python's
default, but for the backlog: with 5, many clients at once would wait for a second try of their SYN.
"""

import socketserver
import sys


class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.wfile.write(self.change(data))

    def change(self, data):
        return data


class Upper(Echo):
    def change(self, data):
        return data.upper()


class Discard(Echo):
    def change(self, data):
        return b""


class Chargen(socketserver.StreamRequestHandler):
    def handle(self):
        printing = bytes(range(32, 127)) * 2
        n = 0
        while True:
            self.wfile.write(printing[n % 95 : n % 95 + 72] + b"\r\n")
            n += 1


class Hello(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(b"welcome")
        while (data := self.request.recv(1024)) not in (b"", b"exit"):
            self.request.sendall(b"hello")


class Faulty(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            if line in (b"fail\n", b"panic\n"):
                self.wfile.write(b"failing\n")
                raise RuntimeError("it was asked to")
            self.wfile.write(line)


class EchoPacket(socketserver.DatagramRequestHandler):
    def handle(self):
        self.wfile.write(self.packet)


class UpperPacket(socketserver.DatagramRequestHandler):
    def handle(self):
        self.wfile.write(self.packet.upper())


class FaultyPacket(socketserver.DatagramRequestHandler):
    def handle(self):
        if self.packet == b"silent":
            return
        if self.packet == b"partial":
            self.wfile.write(b"some")
        if self.packet in (b"fail", b"partial", b"panic"):
            raise RuntimeError("it was asked to")
        self.wfile.write(self.packet)


SERVERS = {
    "tcp": socketserver.TCPServer,
    "udp": socketserver.UDPServer,
    "unix": socketserver.UnixStreamServer,
    "unixgram": socketserver.UnixDatagramServer,
}
STREAMS = {
    "echo": Echo,
    "upper": Upper,
    "discard": Discard,
    "chargen": Chargen,
    "hello": Hello,
    "faulty": Faulty,
}
PACKETS = {"echo": EchoPacket, "upper": UpperPacket, "faulty": FaultyPacket}
MIXINS = {
    "plain": (),
    "threads": (socketserver.ThreadingMixIn,),
    "processes": (socketserver.ForkingMixIn,),
}

service, mode, transport, addr = sys.argv[1:]
kind = type("Server", MIXINS[mode] + (SERVERS[transport],), {"request_queue_size": 128})
handler = (STREAMS if transport in ("tcp", "unix") else PACKETS)[service]
if transport in ("tcp", "udp"):
    host, port = addr.rsplit(":", 1)
    addr = (host, int(port))
with kind(addr, handler) as server:
    name = server.server_address
    print("listening", transport, name if isinstance(name, str) else "%s:%d" % name, flush=True)
    server.serve_forever()
