//! Scaling: what a million connections need, and ten million.
//!
//! An idle connection costs a row of a table and no buffer, and no turn
//! of the loop looks at it. So the number of connections is bounded by memory, most of which is the
//! kernel's, and by descriptors; the number of messages is bounded by the cores.
//!
//! `socketserver bench --idle 1000000` held a million on 2 cores of a small machine: 53 processes of the
//! server and 53 of the client, all connections verified and none lost, 64 s until all were established.
//! What that says about ten million:
//!
//! | what | measured | ten million |
//! |---|---|---|
//! | memory of the server | 88 bytes a connection, 16 more with an idle timeout | 0.9 to 1 GB |
//! | memory of the kernel | 10.1 kB for both ends of a connection, some 5 kB for the server's | 50 GB; the clients are elsewhere |
//! | descriptors | one a connection; 20,000 a process there | `fs.nr_open` is 1,048,576 by default: ten processes, or a larger `fs.nr_open` |
//! | ports | a server needs one; one client address has some 28,000 towards one server address | behind a load balancer 360 pairs of its addresses and the server's, so the server listens on several |
//! | set-up | 35,000 a second on 2 cores that are the clients too | five minutes on such cores; with several loops each accepts for itself |
//! | a message on 100,000 busy connections | 12.6 us of CPU; 7.3 us on 50 | one message a minute from each is 167,000 a second: two to three cores |
//! | a restart | all clients come back | [`Options::accepts_per_turn`](crate::Options::accepts_per_turn) and the backlog bound the work of a turn; [`Reconnect`](crate::Reconnect) spreads it |
//!
//! One machine of 64 GB holds ten million connections that say little. Two behind a balancer hold them when
//! one of them may fail.
//!
//! # What to set
//!
//! * The descriptors of the process: `ulimit -n`, or `LimitNOFILE=` of systemd. Out of descriptors, the
//!   server goes on with the connections it has; clients wait in the backlog.
//! * [`Options::max_connections`](crate::Options::max_connections), a little below that, and
//!   [`Options::idle_timeout`](crate::Options::idle_timeout), so that vanished peers leave.
//! * [`Options::backlog`](crate::Options::backlog) and `net.core.somaxconn`, for the clients that come in
//!   one moment.
//! * One loop for each core ([Several loops](super::several_loops)) when one core is busy.
//! * `net.ipv4.tcp_rmem` and `tcp_wmem`: what a connection may cost in the kernel.
