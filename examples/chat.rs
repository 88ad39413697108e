//! A chat room on lines: what handlers share is lent to each of them in turn, so there is no lock.
//! `cargo run --example chat`, then several `nc 127.0.0.1 7000`.
//!
//! The technique: `cx.shared` and `cx.io` borrow apart, so one can walk the members and send.

use std::collections::BTreeSet;
use std::io;

use socketserver::{Context, Handler, Input, Options, Server, SocketId};

#[derive(Default)]
struct Room {
    members: BTreeSet<SocketId>,
}

struct Member;

impl Handler<Room> for Member {
    fn setup(&mut self, cx: &mut Context<'_, Room>) -> io::Result<()> {
        cx.shared.members.insert(cx.id);
        Ok(())
    }

    fn handle(&mut self, cx: &mut Context<'_, Room>, input: &mut Input<'_>) -> io::Result<()> {
        while let Some(line) = input.line(1024)? {
            for &member in cx.shared.members.iter().filter(|&&member| member != cx.id) {
                cx.io.send(member, &[line, b"\n"].concat());
            }
        }
        Ok(())
    }

    fn finish(&mut self, cx: &mut Context<'_, Room>, _outcome: io::Result<()>) {
        cx.shared.members.remove(&cx.id);
    }
}

fn main() -> io::Result<()> {
    let addr = std::env::args_os().nth(1).unwrap_or_else(|| "127.0.0.1:7000".into());
    let mut server = Server::with(Room::default(), Options::default())?;
    server.listen(addr, |_peer| Member)?;
    server.serve_forever()
}
