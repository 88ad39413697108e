//! How to write servers with this crate, page by page.
//!
//! The other pages of this documentation say what each name does. These say how the names are used
//! together. Every example is compiled, and most are run and assert what the text says.
//!
//! | page | what it is about |
//! |---|---|
//! | [Write a protocol in fifteen minutes](protocol) | from bytes to a server that is tested, limited, and stops in good order |
//! | [Backpressure](backpressure) | what happens when a peer does not read, and what a handler does then |
//! | [Timeouts](timeouts) | the built-in time limits, and timers for all others |
//! | [Shutdown](shutdown) | how a connection ends, how a server ends, and what happens to work in progress |
//! | [Handlers that block](blocking) | what one client may cost there, in memory and in time; processes and signals |
//! | [Talking to other connections](other_connections) | broadcasts, relays, other threads, and work that blocks |
//! | [Outgoing connections](outgoing) | to connect, to ask, and to connect again |
//! | [Datagrams](datagrams) | one call for each datagram, and what happens to those that cannot be sent |
//! | [Several loops](several_loops) | one server for each core, behind the same addresses |
//! | [Inside another loop](other_loops) | a server that glib, Python's asyncio or your own poll(2) steps |
//! | [Scaling](scaling) | what a million connections need, and ten million |
//! | [Limits](limits) | what could grow or last, and its bound |
//! | [Coming from Python](from_python) | what each part of Python's `socketserver` is called here |
//!
//! # The few rules
//!
//! All pages rest on these.
//!
//! * One thread runs everything. While a callback runs, no other callback of the same server does,
//!   so shared data needs no lock; and a callback that blocks delays all connections.
//! * Commands only take note. [`Context::send`](crate::Context::send),
//!   [`Io::pause`](crate::Io::pause), [`Io::close`](crate::Io::close) and all the others return at
//!   once and call no handler; what follows from them happens when the callback has returned.
//! * A handler takes from its [`Input`](crate::Input) what is complete, and leaves the rest. What it
//!   leaves is delivered again, in front of the next bytes.
//! * An error that a callback returns ends its own conversation and no other. What was sent before
//!   still leaves, and `finish` runs exactly once, whatever happened.
//! * A [`SocketId`](crate::SocketId) may be kept for ever. When its socket is closed, a command with it does
//!   nothing; it never means another socket.
//!
//! # How the examples are tested
//!
//! The examples use `testing::TestServer`, which is a real server whose connections are in memory and
//! whose clock the test advances. It is behind the feature `testing`; the module `testing` has a tutorial.

pub mod backpressure;
pub mod blocking;
pub mod datagrams;
pub mod from_python;
pub mod limits;
pub mod other_connections;
pub mod other_loops;
pub mod outgoing;
pub mod protocol;
pub mod scaling;
pub mod several_loops;
pub mod shutdown;
pub mod timeouts;
