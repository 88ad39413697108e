//! A system call of a blocking handler that a signal interrupts is made again: strace sees to it that
//! some are.

use std::process::{Command, Stdio};

use crate::command::{BIN, Server, exchange, has, tcp};

/// A server of which every third call of that name is interrupted; `None`, and a message, where
/// strace cannot do that.
fn interrupted(call: &str, workers: &str) -> Option<(Server, String)> {
    if !has("strace") {
        return None;
    }
    let injected = format!("inject={call}:error=EINTR:when=1+3");
    let mut command = Command::new("strace");
    // With -D the server is our child, and ends with the test.
    command.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e"]);
    command.arg(injected).args([BIN, "serve", "upper", "--tcp", "127.0.0.1:0"]);
    let mut server = Server::of(command.args(["--workers", workers]).stderr(Stdio::null()));
    let said = server.line();
    let Some(addr) = said.strip_prefix("listening tcp ") else {
        println!("skipped: strace may not trace here");
        return None;
    };
    let addr = addr.to_string();
    Some((server, addr))
}

#[test]
fn a_read_and_a_write_that_a_signal_interrupts_go_on() {
    for workers in ["threads:2", "processes:2"] {
        for call in ["recvfrom", "sendto"] {
            let Some((server, addr)) = interrupted(call, workers) else { return };
            for _ in 0..3 {
                let mut client = tcp(&addr);
                for _ in 0..5 {
                    assert_eq!(exchange(&mut client, b"hello"), b"HELLO", "{call}, {workers}");
                }
            }
            // It is killed: what a signal wakes the loop with is such a call too.
            drop(server);
        }
    }
}
