//! Handlers that block: what one client may cost, in memory and in time.
//!
//! A [`blocking::Handler`](crate::blocking::Handler) is straight-line code for one client; a
//! [`Workers`](crate::blocking::Workers) says whether it runs in the loop, in a thread or in a process.
//! A handler that waits holds its thread or its process. So the first questions are how long it may wait,
//! and how much memory it may hold meanwhile.
//!
//! # Memory: every read has a limit
//!
//! The peer decides how long a line is. [`Request::take_line`](crate::blocking::Request::take_line),
//! [`take_frame_with`](crate::blocking::Request::take_frame_with),
//! [`delimited`](crate::blocking::Request::take_delimited) and
//! [`take_exact`](crate::blocking::Request::take_exact) take a limit for that reason, and fail as soon
//! as it is exceeded. `read_line` of the standard library takes none; here it fails above
//! [`Options::input_limit`](crate::Options::input_limit), as do `read_until`, `lines`, `read_to_end` and
//! `read_to_string`.
//!
//! ```
//! use std::io::{self, Read, Write};
//! use std::net::TcpStream;
//! use std::thread;
//! use socketserver::Server;
//! use socketserver::blocking::{Workers, Request};
//!
//! /// `POST length`, then `length` bytes, whose zeros are counted.
//! fn serve(request: &mut Request<'_>) -> io::Result<()> {
//!     let Some(line) = request.take_line(80)? else { return Ok(()) };
//!     let words = String::from_utf8_lossy(line);
//!     let length = words.strip_prefix("POST ").and_then(|length| length.parse().ok());
//!     let Some(length) = length else { return request.send_all(b"what?\n") };
//!     // Whatever the line says, at most 1 MiB is held, and only bytes that have arrived.
//!     let body = request.take_exact(length, 1 << 20)?.unwrap_or_default();
//!     let zeros = body.iter().filter(|byte| **byte == b'0').count();
//!     writeln!(request, "{zeros} of {length}")
//! }
//!
//! let mut server = Server::new()?;
//! let id = server.listen_blocking("127.0.0.1:0", &Workers::threads(4), |_peer| serve)?;
//! let port = server.io().local_addr(id).and_then(|addr| addr.port()).unwrap();
//! let ask = move |question: &'static str| {
//!     thread::spawn(move || -> io::Result<String> {
//!         let mut stream = TcpStream::connect(("127.0.0.1", port))?;
//!         stream.write_all(question.as_bytes())?;
//!         let mut answer = String::new();
//!         stream.read_to_string(&mut answer)?;
//!         Ok(answer)
//!     })
//! };
//! let answer = ask("POST 5\n10010");
//! server.handle_request(None)?;
//! assert_eq!(answer.join().unwrap()?, "3 of 5\n");
//! let refused = ask("POST 999999999\n");
//! server.handle_request(None)?;
//! assert_eq!(refused.join().unwrap()?, "", "an error ends the request");
//! # Ok::<(), io::Error>(())
//! ```
//!
//! # Time: a timeout for each read and write, a deadline for all
//!
//! | | what it limits | a peer that sends, or reads, one byte now and then |
//! |---|---|---|
//! | [`Workers::timeout`](crate::blocking::Workers::timeout) | one read, or one write of any length | never exceeds it |
//! | [`Workers::deadline`](crate::blocking::Workers::deadline) | all reads and writes together | ends at the deadline |
//!
//! With a timeout alone, as many such peers as there are threads hold all the threads, and other clients
//! are not served. So a public service sets both. A handler that serves many requests on one
//! connection gives each its own time with
//! [`Request::set_deadline`](crate::blocking::Request::set_deadline). Neither ends
//! a computation, or a query to another server: both are checked when the handler reads or writes.
//!
//! ```
//! use std::io;
//! use std::time::{Duration, Instant};
//! use socketserver::Server;
//! use socketserver::blocking::{Workers, Request};
//!
//! fn serve(request: &mut Request<'_>) -> io::Result<()> {
//!     loop {
//!         // Each line and its answer have 5 s together.
//!         request.set_deadline(Some(Instant::now() + Duration::from_secs(5)))?;
//!         let Some(line) = request.take_line(1024)? else { return Ok(()) };
//!         let answer = [line, b"\n"].concat();
//!         request.send_all(&answer)?;
//!     }
//! }
//!
//! let workers = Workers::threads(64).timeout(Duration::from_secs(5)).deadline(Duration::from_secs(600));
//! let mut server = Server::new()?;
//! server.listen_blocking("127.0.0.1:0", &workers, |_peer| serve)?;
//! # Ok::<(), io::Error>(())
//! ```
//!
//! # A shutdown ends reads
//!
//! When the server shuts down, a handler in a thread or a process still reads what has arrived, and
//! then gets EOF, as if its client had half-closed. Its answer to that is sent. A handler that only
//! writes gets no EOF; it asks
//! [`Request::is_shutting_down`](crate::blocking::Request::is_shutting_down), or is aborted when the
//! grace is over.
//!
//! ```
//! use std::io;
//! use socketserver::blocking::Request;
//!
//! /// Sends numbers until the client is gone or the server shuts down.
//! fn count(request: &mut Request<'_>) -> io::Result<()> {
//!     for n in 0_u64.. {
//!         if request.is_shutting_down() {
//!             break;
//!         }
//!         request.send_all(format!("{n}\n").as_bytes())?;
//!     }
//!     Ok(())
//! }
//! # socketserver::Server::new()?.listen_blocking(
//! #     "127.0.0.1:0", &socketserver::blocking::Workers::threads(1), |_| count)?;
//! # Ok::<(), io::Error>(())
//! ```
//!
//! # Processes and signals
//!
//! With `Workers::processes` a signal that the program handles has its default action in a child: SIGTERM
//! to one child ends that child, and the server goes on. Sent to the whole group, as systemd and
//! timeout(1) do, it leaves the children to the stop of the server. What a terminal sends to all its processes
//! (SIGINT for Ctrl-C) is for the parent to handle, and does nothing to a child. So the recipe on the
//! page about [shutdown](super::shutdown) is right with threads and with processes.
//! `Workers::inherit_signals` has the handlers run in children as well.
//!
//! With `Workers::inline` the loop notices a shutdown only when the running handler has returned: a silent
//! client delays it until it closes, or until `Workers::timeout` or `Workers::deadline` ends the wait.
