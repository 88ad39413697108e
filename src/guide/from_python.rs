//! What each part of Python's `socketserver` is called here, and what is different.
//!
//! The page goes through the module of Python 3.12 class by class.
//!
//! # A server, line by line
//!
//! ```text
//! class Upper(socketserver.StreamRequestHandler):
//!     def handle(self):
//!         for line in self.rfile:
//!             self.wfile.write(line.upper())
//!
//! with socketserver.ThreadingTCPServer(("127.0.0.1", 7000), Upper) as server:
//!     server.serve_forever()
//! ```
//!
//! ```no_run
//! use std::io;
//! use socketserver::Server;
//! use socketserver::blocking::{Handler, Workers, Request};
//!
//! struct Upper;
//!
//! impl Handler for Upper {
//!     fn handle(&mut self, request: &mut Request<'_>) -> io::Result<()> {
//!         // In Python a client that never ends its line costs all the memory there is.
//!         while let Some(line) = request.take_line(4096)? {
//!             let mut answer = line.to_ascii_uppercase();
//!             answer.push(b'\n');
//!             request.send_all(&answer)?;
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let mut server = Server::new()?;
//! server.listen_blocking("127.0.0.1:7000", &Workers::threads(64), |_peer| Upper)?;
//! server.serve_forever()?;
//! # Ok::<(), io::Error>(())
//! ```
//!
//! Two things differ. Python's `rfile` gives each line with its end, and the last one of a client
//! that ends in the middle of it without any; `Request::take_line` takes `\n` and `\r\n` away, so that
//! `abc\r\ndef` and an end are answered with `ABC\r\nDEF` there and with `ABC\nDEF\n` here.
//! `Request` is `BufRead` too: `read_until(b'\n', ..)` gives what Python's does, and behind
//! [`Read::take`](std::io::Read::take) no more than its limit.
//!
//! A class of Python is two choices here: the transport is the address and the verb, the mix-in is
//! the [`Workers`](crate::blocking::Workers).
//!
//! ```text
//! class Lower(socketserver.DatagramRequestHandler):
//!     def handle(self):
//!         self.wfile.write(self.packet.lower())
//!
//! socketserver.UDPServer(("127.0.0.1", 7000), Lower)
//! socketserver.ForkingUnixDatagramServer("/tmp/lower", Lower)
//! ```
//!
//! ```no_run
//! use std::io::{self, Write};
//! use std::path::Path;
//! use socketserver::Server;
//! use socketserver::blocking::{Workers, Request};
//!
//! fn lower(request: &mut Request<'_>) -> io::Result<()> {
//!     let answer = request.datagram().unwrap_or_default().to_ascii_lowercase();
//!     request.write_all(&answer)
//! }
//!
//! let mut server = Server::new()?;
//! server.bind_blocking("127.0.0.1:7000", &Workers::inline(), |_peer| lower)?;
//! # #[cfg(all(unix, feature = "processes"))] {
//! server.bind_blocking(Path::new("/tmp/lower"), &Workers::processes(40), |_peer| lower)?;
//! # }
//! # Ok::<(), io::Error>(())
//! ```
//!
//! Neither is what this crate is best at. A [`Handler`](crate::Handler) that does not block is
//! called when something has come, needs neither thread nor process, and one loop has a hundred
//! thousand of them:
//!
//! ```
//! use std::io;
//! use socketserver::{Context, Handler, Input, Server};
//!
//! struct Upper;
//!
//! impl Handler for Upper {
//!     fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
//!         while let Some(line) = input.take_line(4096)? {
//!             let line = line.to_ascii_uppercase();
//!             cx.send(&line);
//!             cx.send(b"\n");
//!         }
//!         Ok(())
//!     }
//!
//!     // What came before the client's end without the end of a line, which `line` waits for.
//!     fn eof(&mut self, cx: &mut Context<'_>, rest: &[u8]) -> io::Result<()> {
//!         if !rest.is_empty() {
//!             cx.send(&rest.to_ascii_uppercase());
//!             cx.send(b"\n");
//!         }
//!         cx.close();
//!         Ok(())
//!     }
//! }
//!
//! # fn serve() -> io::Result<()> {
//! let mut server = Server::new()?;
//! server.listen("127.0.0.1:7000", |_peer| Upper)?;
//! server.serve_forever()?;
//! # Ok(())
//! # }
//! # let mut server = socketserver::testing::TestServer::new()?;
//! # let client = server.connect(Upper)?;
//! # client.send("abc\r\ndef");
//! # client.end();
//! # server.run();
//! # assert_eq!(client.received(), b"ABC\nDEF\n");
//! # Ok::<(), io::Error>(())
//! ```
//!
//! Without its `eof` the last line, `def`, would be lost: a blocking handler gets EOF where it reads, a
//! handler of the loop by a callback.
//!
//! # The names of the module
//!
//! `n` is the number of handlers that run at once; Python's default for processes is
//! [`MAX_CHILDREN`](crate::blocking::MAX_CHILDREN), and for threads it has no limit.
//!
//! | in Python | here |
//! |---|---|
//! | `BaseServer` | [`Server`](crate::Server), which has any number of sockets of every kind |
//! | `TCPServer` | `listen_blocking(address, &Workers::inline(), ..)` |
//! | `UDPServer` | `bind_blocking(address, &Workers::inline(), ..)` |
//! | `UnixStreamServer` | `listen_blocking(path, &Workers::inline(), ..)` |
//! | `UnixDatagramServer` | `bind_blocking(path, &Workers::inline(), ..)` |
//! | `ThreadingMixIn` | [`Workers::threads`](crate::blocking::Workers::threads) |
//! | `ThreadingTCPServer` | `listen_blocking(address, &Workers::threads(n), ..)` |
//! | `ThreadingUDPServer` | `bind_blocking(address, &Workers::threads(n), ..)` |
//! | `ThreadingUnixStreamServer` | `listen_blocking(path, &Workers::threads(n), ..)` |
//! | `ThreadingUnixDatagramServer` | `bind_blocking(path, &Workers::threads(n), ..)` |
//! | `ForkingMixIn` | `Workers::processes` |
//! | `ForkingTCPServer` | `listen_blocking(address, &Workers::processes(n), ..)` |
//! | `ForkingUDPServer` | `bind_blocking(address, &Workers::processes(n), ..)` |
//! | `ForkingUnixStreamServer` (3.12) | `listen_blocking(path, &Workers::processes(n), ..)` |
//! | `ForkingUnixDatagramServer` (3.12) | `bind_blocking(path, &Workers::processes(n), ..)` |
//! | `BaseRequestHandler` | [`blocking::Handler`](crate::blocking::Handler), or any closure |
//! | `StreamRequestHandler` | the same; the [`Request`](crate::blocking::Request) is `rfile` and `wfile` |
//! | `DatagramRequestHandler` | the same; or [`DatagramHandler`](crate::DatagramHandler), which does not block |
//! | `_ServerSelector` | one [`mio::Poll`] for the life of the server |
//!
//! # `BaseServer`
//!
//! | in Python | here | what is different |
//! |---|---|---|
//! | `__init__(address, handler)` | [`Server::new`](crate::Server::new), [`Server::listen_blocking`](crate::Server::listen_blocking), [`Server::bind_blocking`](crate::Server::bind_blocking) | a factory makes the handlers, so they can be given what they need |
//! | `timeout` | the argument of [`Server::handle_request`](crate::Server::handle_request) | |
//! | `server_activate` | part of `listen_blocking` | clients wait in the backlog until the server runs; code for that moment goes after `listen_blocking` |
//! | `serve_forever` | [`Server::serve_forever`](crate::Server::serve_forever) | no `poll_interval`: it sleeps until something happens; all waiting clients are accepted, not one a turn |
//! | `shutdown` | [`ServerHandle::shutdown`](crate::ServerHandle::shutdown), [`Io::shutdown`](crate::Io::shutdown) | at once, with a grace, from anywhere, a handler too, before the run and twice; to wait is a step of its own, [`ServerHandle::wait`](crate::ServerHandle::wait) |
//! | `service_actions` | [`Server::set_service_actions`](crate::Server::set_service_actions) | once a turn, and there is no turn while nothing happens; for something regular there are timers |
//! | `handle_request` | [`Server::handle_request`](crate::Server::handle_request) | returns the outcome; waits for the end of the request in every mode |
//! | `handle_timeout` | [`RequestOutcome::TimedOut`](crate::RequestOutcome::TimedOut) | a value and not a hook |
//! | `get_request` | [`Server::watch`](crate::Server::watch) | for requests that come from something else than a socket |
//! | `verify_request` | [`Server::set_verify_request`](crate::Server::set_verify_request) | before a handler is made; it sees the address |
//! | `process_request` | the [`Workers`](crate::blocking::Workers) | |
//! | `finish_request` | the factory | called for each connection and each datagram |
//! | `shutdown_request`, `close_request` | the end of the handler | what was written arrives, then EOF; input that is still arriving does not destroy it |
//! | `handle_error` | [`Workers::handle_error`](crate::blocking::Workers::handle_error) | by default one line in the log, once a second at most; panics are errors |
//! | `SystemExit` in a handler | [`Exit`](crate::Exit) | the same: out of `serve_forever` inline, else the end of that one |
//! | `server_close` | [`Io::server_close`](crate::Io::server_close), or drop the server | |
//! | `with` | the scope of the server | |
//! | `server_address` | [`Io::local_addr`](crate::Io::local_addr) of the id that `listen_blocking` returns | |
//! | `RequestHandlerClass` | the factory | |
//! | `socket` | [`Options`](crate::Options), for all that can be set | the listening socket itself is not given out |
//!
//! # `TCPServer`, `UnixStreamServer`
//!
//! | in Python | here | what is different |
//! |---|---|---|
//! | `address_family` | the [`Addr`](crate::Addr) | IPv6 needs no subclass; [`Options::v6_only`](crate::Options::v6_only) |
//! | `socket_type` | `listen` or `bind` | |
//! | `request_queue_size` | [`Options::backlog`](crate::Options::backlog) | as long as the system allows, and not 5 |
//! | `allow_reuse_address` | [`Options::reuse_address`](crate::Options::reuse_address) | true by default |
//! | `allow_reuse_port` | [`Options::reuse_port`](crate::Options::reuse_port) | refused for Unix sockets |
//! | `bind_and_activate` | `listen_blocking` does both | a failure costs no descriptor |
//! | `server_bind` | `listen_blocking` | the address is known at once, so port 0 has its number |
//! | `fileno` | `AsFd` of [`Server`](crate::Server) | it is the poll: a foreign loop that watches it calls [`Server::turn`](crate::Server::turn); see [Inside another loop](super::other_loops) |
//! | `client_address` of a Unix client | [`Addr::Unnamed`](crate::Addr::Unnamed) | and not `''` |
//! | a path that is left over | [`Server::listen`](crate::Server::listen) reclaims it | only when no server answers there; the server's own path is removed at the end |
//! | errors of `accept` | counted and logged | a shortage is waited out, and not spun on |
//!
//! # `UDPServer`, `UnixDatagramServer`
//!
//! | in Python | here | what is different |
//! |---|---|---|
//! | `max_packet_size` | [`Options::max_packet_size`](crate::Options::max_packet_size) | 65,535 and not 8,192; a longer one is counted and dropped and never handled in part, unless [`truncated`](crate::DatagramHandler::truncated) wants it |
//! | `get_request` | | many datagrams a turn |
//! | `allow_reuse_address` | | never: a second server would take the port |
//! | a client without a name | [`Addr::Unnamed`](crate::Addr::Unnamed) | the answer is dropped; no error |
//! | an answer of `("0.0.0.0", port)` | [`Context::reply`](crate::Context::reply) | it leaves from the address that was asked, and not from the one that the system chooses |
//! | an answer to a client that is gone | | the next ones are served |
//!
//! # `ForkingMixIn`
//!
//! | in Python | here | what is different |
//! |---|---|---|
//! | `timeout` | | the end of a child is an event, so there is no polling |
//! | `active_children` | [`Workers::active_count`](crate::blocking::Workers::active_count) | the number |
//! | `max_children` | `Workers::processes(n)` | at the bound clients wait in the backlog, and the loop goes on |
//! | `block_on_close` | the grace of the shutdown | children that are busy then are killed |
//! | `collect_children` | | each child is waited for by its process id, never any other child |
//! | `process_request` | | the same; only a program with one thread may fork, in others it is an error |
//! | `os._exit` | | the same: nothing of the parent's is cleaned up by a child |
//! | a crash | an error | of that request alone |
//! | handlers of signals | `Workers::inherit_signals` | a child does not have those of its parent, so SIGTERM to one child stops no other process |
//!
//! # `ThreadingMixIn`
//!
//! | in Python | here | what is different |
//! |---|---|---|
//! | `daemon_threads` | [`Workers::daemon_threads`](crate::blocking::Workers::daemon_threads) | |
//! | `block_on_close` | the grace of the shutdown | a handler that waits in a read gets EOF |
//! | `_threads` | [`Workers::active_count`](crate::blocking::Workers::active_count) | threads are used again; never more than `n` |
//! | `process_request_thread` | | the same |
//!
//! # Handlers
//!
//! | in Python | here | what is different |
//! |---|---|---|
//! | `setup`, `handle`, `finish` | [`blocking::Handler`](crate::blocking::Handler) | the same order: after a failed `setup` neither of the others runs; `finish` runs after a failed `handle` |
//! | one object for each request | one value, made by the factory | |
//! | `self.request`, `self.connection` | the [`Request`](crate::blocking::Request); [`Request::socket`](crate::blocking::Request::socket) for options | |
//! | `self.client_address` | [`Request::client_address`](crate::blocking::Request::client_address) | |
//! | `self.server` | [`Request::with_shared`](crate::blocking::Request::with_shared), `cx.shared` | lent, so there is no lock; a process has a copy |
//! | `rfile`, `rbufsize` | [`Request::take_line`](crate::blocking::Request::take_line) and the like, with a required limit; `Request` is [`BufRead`](std::io::BufRead) | `readline()` and `read()` without a size are bounded by [`Options::input_limit`](crate::Options::input_limit) |
//! | `wfile`, `wbufsize = 0` | `Request` is [`Write`](std::io::Write); a write is whole or an error | |
//! | `wbufsize > 0` | [`BufWriter`](std::io::BufWriter) around the request | |
//! | `timeout` | [`Workers::timeout`](crate::blocking::Workers::timeout), [`Request::set_timeout`](crate::blocking::Request::set_timeout) | `TimedOut`, as an error of the read; for the whole of a `sendall`, as in Python; [`Workers::deadline`](crate::blocking::Workers::deadline) is for all reads and writes together |
//! | `disable_nagle_algorithm` | [`Options::nodelay`](crate::Options::nodelay) | true by default |
//! | `packet` | [`Request::datagram`](crate::blocking::Request::datagram) | |
//! | `socket` of a datagram | [`Context::send_to`](crate::Context::send_to) in a [`DatagramHandler`](crate::DatagramHandler) | for more than one answer |
//! | the answer to a datagram | what was written | a handler that writes nothing sends nothing, not an empty datagram |
//!
//! # `serve_forever`, step by step
//!
//! A reader of `CPython`'s `socketserver.py` knows `serve_forever` as five steps.
//!
//! | in Python | here |
//! |---|---|
//! | 1. `TCPServer.__init__`: `server_bind`, `server_activate` | `Server::listen`: `socket`, `bind`, `listen` in `net/mod.rs`, registered with the poll |
//! | 2. `serve_forever`: `selector.select(poll_interval)`, then `_handle_request_noblock` | `Server::turn`: `Io::wait` without a periodic wake-up, then every ready socket and not just one |
//! | 3. `get_request` → `verify_request` → `process_request` | `reactor/accept.rs`: accept until it would block, `verify_request`, the factory |
//! | 4. `ThreadingMixIn.process_request_thread` | nothing: the connection is queued, and its turn comes |
//! | 5. `finish_request` → `RequestHandlerClass(request, client_address, self)` → `setup`, `handle`, `finish` | `reactor/dispatch.rs` calls `setup`, `handle` for each arrival, and `finish` |
//!
//! What Python does between turns (`service_actions`, the look at the shutdown flag) happens in the
//! same `turn`, but the flag wakes the poll, so there is no wait of half a second. `Server::set_trace`
//! shows each of these steps as it happens.
