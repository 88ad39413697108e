//! A chat room on lines, without a lock: `cargo run --example chat`, then `nc 127.0.0.1 7000` in
//! several terminals.
//!
//! The technique: shared state. The server lends it to each handler in turn. `cx.shared` and
//! `cx.io` are separate fields, so a handler can iterate over the members and send to each.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use socketserver::{Context, Handler, Input, Options, Server, SocketId};

#[path = "support/program.rs"]
mod program;

#[derive(Default)]
struct ChatRoom {
    members: BTreeSet<SocketId>,
}

struct Member;

impl Handler<ChatRoom> for Member {
    fn setup(&mut self, cx: &mut Context<'_, ChatRoom>) -> io::Result<()> {
        cx.shared.members.insert(cx.id);
        Ok(())
    }

    fn handle(&mut self, cx: &mut Context<'_, ChatRoom>, input: &mut Input<'_>) -> io::Result<()> {
        while let Some(line) = input.take_line(1024)? {
            for &member in cx.shared.members.iter().filter(|&&member| member != cx.id) {
                cx.io.send(member, &[line, b"\n"].concat());
            }
        }
        Ok(())
    }

    fn finish(&mut self, cx: &mut Context<'_, ChatRoom>, _outcome: io::Result<()>) {
        cx.shared.members.remove(&cx.id);
    }
}

fn main() -> ExitCode {
    program::run("usage: chat [ADDR]   (default 127.0.0.1:7000)", 1, serve)
}

fn serve(words: &[OsString]) -> io::Result<()> {
    let addr = words.first().cloned().unwrap_or_else(|| "127.0.0.1:7000".into());
    let mut server = Server::with_shared(ChatRoom::default(), Options::default())?;
    let listener = server.listen(addr, |_peer| Member)?;
    if let Some(addr) = server.io().local_addr(listener) {
        // `println!` panics if standard output is closed.
        let _ = writeln!(io::stdout(), "listening {addr}");
    }
    server.serve_forever()
}
