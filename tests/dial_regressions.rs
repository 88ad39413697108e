//! One test for each fault of outgoing connections that was found and repaired.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::io;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use common::{Call, Journal, Noted, Tested};
use socketserver::{Context, Handler, Input, Options};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Says nothing by itself, and goes on after its timers.
struct Patient;

impl Handler for Patient {
    fn handle(&mut self, _: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        input.take_all();
        Ok(())
    }

    fn timeout(&mut self, _: &mut Context<'_>, _: socketserver::TimerId) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_stood_in_time_stands_however_late_the_loop_looks() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let mut tested = Tested::with((), Options { connect_timeout: ms(10), ..Options::default() });
    let journal = Journal::default();
    tested.connect(addr, Noted::new(&journal, Patient)).unwrap();
    let accepted = listener.accept().unwrap();
    thread::sleep(ms(20));
    tested.until(|_| !journal.calls().is_empty());
    assert_eq!(journal.calls(), [Call::Setup]);
    drop(accepted);
}
