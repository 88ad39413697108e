//! What the tests over real sockets share: a server that is stepped by hand, clients that never
//! block, a log of what handlers were called with, and handlers that many tests need.

#[macro_use]
mod kinds;

#[path = "../../support/waits.rs"]
mod waits;

mod call_log;
mod client;
mod datagram_client;
mod handlers;
mod harness;

pub(crate) use call_log::{
    Call, CallLog, DatagramCall, DatagramCallLog, Recording, RecordingDatagrams,
};
pub(crate) use client::{Client, Random, pattern};
pub(crate) use datagram_client::{DatagramClient, flood};
pub(crate) use handlers::{Discard, Stubborn, on_datagram, on_input, on_setup};
pub(crate) use harness::{
    CROSS_TOGETHER, DatagramKind, Harness, Kind, SECOND, TraceLog, ms, reads_once,
};
pub(crate) use waits::{PATIENCE, delay, pace, silence, until};

/// The full name of a test, for a program that runs itself again for that test alone.
pub(crate) fn full_name(module_path: &str, test: &str) -> String {
    let (_program, modules) = module_path.split_once("::").unwrap();
    format!("{modules}::{test}")
}
