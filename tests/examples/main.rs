//! The examples as programs, with clients that we did not write where there are some.

#![cfg(all(unix, feature = "sys"))]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop anywhere"
)]

// A read that a signal does not end.
#[path = "../support/read_some.rs"]
mod read_some;
// How tests wait.
#[path = "../support/waits.rs"]
mod waits;
// Servers whose lines one sees, and clients for them.
#[path = "../support/process.rs"]
mod command;
// An example as such a server.
#[path = "../support/example_server.rs"]
mod example_server;
// An example that says where it listens.
#[path = "../support/program.rs"]
mod program;

// Two servers, one room, and a Redis that goes and comes back.
mod chat_cluster;
// Uploads, by their own client and by hand.
#[cfg(target_os = "linux")]
mod files;
// HTTP: tables of requests, files, bodies, real clients.
mod http;
// Redis: its own clients, commands, large values.
mod kv;
// What each example does as a program.
mod mains;
// Clients that read slowly and steadily.
#[cfg(target_os = "linux")]
mod slow_readers;
// The SOCKS proxy, driven by curl and by plain sockets.
mod socks5;
// Servers that are stopped beyond their deadlines.
#[cfg(target_os = "linux")]
mod stalls;
// WebSocket: real clients, and frames that no client sends.
mod websocket;

// Nothing runs the tests that lie in the files of an example, unless they are part of ours.
#[allow(dead_code)]
#[path = "../../examples/http/chunk.rs"]
mod chunk;
#[allow(dead_code)]
#[path = "../../examples/chat_cluster/cluster.rs"]
mod cluster;
#[allow(dead_code)]
#[path = "../../examples/websocket/frame.rs"]
mod frame;
#[allow(dead_code)]
#[path = "../../examples/websocket/handshake.rs"]
mod handshake;
#[allow(dead_code)]
#[path = "../../examples/support/head.rs"]
mod head;
#[allow(dead_code)]
#[path = "../../examples/websocket/message.rs"]
mod message;
#[allow(dead_code)]
#[path = "../../examples/socks5/networks.rs"]
mod networks;
#[allow(dead_code)]
#[path = "../../examples/http/response.rs"]
mod response;
#[allow(dead_code)]
#[path = "../../examples/kv/slow_subscriber.rs"]
mod slow_subscriber;
#[allow(dead_code)]
#[path = "../../examples/http/spool.rs"]
mod spool;
#[allow(dead_code)]
#[path = "../../examples/http/target.rs"]
mod target;
