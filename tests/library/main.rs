//! The library over real sockets, and on connections in memory: one program, a module for each topic.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test may stop anywhere"
)]

// A read that a signal does not end.
#[path = "../support/read_some.rs"]
mod read_some;
// A server that is stepped by hand, clients, a log of calls, and handlers that many tests need.
#[allow(dead_code, reason = "what one system or feature has not, its tests have not")]
#[macro_use]
mod support;

// What a handler may do to its own socket and to others, from any callback.
mod callbacks;
// Every public name of Python's `socketserver` has something here.
#[allow(non_snake_case, reason = "functions are called as in Python")]
mod coming_from_python;
// Each command about a socket works, or says that it could not be done.
mod commands;
// Outgoing connections: their contract, several addresses, names, and shutdown.
mod connect;
// Datagram sockets: exchange, faults, how they begin and end, and addresses of a wildcard.
mod datagram;
// One client at a time.
mod handle_request;
// A server that another loop steps, and runs that end in other ways.
mod embedding;
// Whatever a user gives panics at any touch, which costs the least that it may.
mod hostile;
// An id that is stale reaches nothing.
mod ids;
// Three connections, and every order of what their peers do.
mod interleavings;
// More clients than there is room for.
mod limits;
// Options are checked, work at their edges, and each has a test.
mod options;
// One test for each fault that was found and repaired.
mod regressions;
// What the suites of other libraries hold for sure.
#[cfg(unix)]
mod pinned;
// Addresses that are used again, and names of IPv4.
#[cfg(unix)]
mod reuse;
// What a shutdown answers, drops and waits for.
mod shutdown;
// Sources that are not ours in our loop, and our loop in another.
#[cfg(unix)]
mod sources;
// Streams: echo, back-pressure, callbacks in order, closing, framing, fairness, times.
mod stream;
// `socketserver::testing` itself.
mod testing;
// Timers in order, once, in time.
mod timers;
// Abstract names and paths.
#[cfg(unix)]
mod unix_names;

// What follows consists of little else than wakes from other threads, which mio may lose on poll(2).

// Handlers that block: what all modes have in common, limits, stops, datagrams.
#[cfg(not(mio_unsupported_force_poll_poll))]
mod blocking;
// Other threads reach the server.
#[cfg(not(mio_unsupported_force_poll_poll))]
mod handle;
// Several loops behind one address.
#[cfg(all(unix, not(mio_unsupported_force_poll_poll)))]
mod loop_group;
