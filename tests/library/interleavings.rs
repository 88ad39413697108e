//! Three connections that talk to each other, and what their peers do in every order.
//!
//! Each peer has a script of three events. All 1,680 orders in which three such scripts can happen
//! are played on the server in memory, with turns after every event, or only after some, so that one
//! round meets several. Whatever the order, each peer gets exactly the lines it should and the
//! ledger balances. By default for some scripts, with `INTERLEAVINGS=all` for all of them:
//!
//! ```text
//! INTERLEAVINGS=all cargo test --release --test interleavings -- --nocapture
//! ```

use std::io;

use socketserver::testing::{Peer, TestServer};
use socketserver::{CloseReason, Context, Handler, Input, Options, SocketId};

/// Says each line to everybody, itself too.
struct Member;

type Members = Vec<SocketId>;

impl Handler<Members> for Member {
    fn setup(&mut self, cx: &mut Context<'_, Members>) -> io::Result<()> {
        cx.shared.push(cx.id);
        Ok(())
    }

    fn handle(&mut self, cx: &mut Context<'_, Members>, input: &mut Input<'_>) -> io::Result<()> {
        while let Some(line) = input.take_line(10)? {
            let line = [line, b"\n"].concat();
            for &member in &*cx.shared {
                cx.io.send(member, &line);
            }
        }
        Ok(())
    }

    fn finish(&mut self, cx: &mut Context<'_, Members>, _: io::Result<()>) {
        let id = cx.id;
        cx.shared.retain(|&member| member != id);
    }
}

/// What a peer does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Event {
    Line,
    /// The first half of a line, then what is missing and a whole one.
    Half,
    RestAndLine,
    /// Takes one byte and no more; takes all again.
    Full,
    Room,
    End,
    /// A line and the end behind it, at once.
    LineAndEnd,
    Reset,
}

type Script = [Event; 3];

const SCRIPTS: [Script; 9] = [
    [Event::Line, Event::Half, Event::RestAndLine],
    [Event::Line, Event::Line, Event::End],
    [Event::Line, Event::Half, Event::End],
    [Event::Full, Event::Line, Event::Room],
    [Event::Full, Event::Room, Event::Line],
    [Event::Full, Event::Line, Event::LineAndEnd],
    [Event::Full, Event::Line, Event::Reset],
    [Event::Line, Event::End, Event::Reset],
    [Event::Half, Event::RestAndLine, Event::Reset],
];

/// Every order in which three peers may do three things each, by who is next.
fn orders() -> Vec<[usize; 9]> {
    fn extend(order: &mut Vec<usize>, left: [usize; 3], all: &mut Vec<[usize; 9]>) {
        if let Ok(whole) = <[usize; 9]>::try_from(order.as_slice()) {
            all.push(whole);
        }
        for who in 0..3 {
            if left[who] > 0 {
                let mut left = left;
                left[who] -= 1;
                order.push(who);
                extend(order, left, all);
                order.pop();
            }
        }
    }
    let mut all = Vec::new();
    extend(&mut Vec::new(), [3; 3], &mut all);
    all
}

/// A peer and what was said on both sides.
struct Side {
    peer: Peer,
    name: char,
    lines: Vec<String>,
    half: Option<String>,
    bytes: u64,
    ended: bool,
    reset: bool,
    received: Vec<u8>,
}

impl Side {
    fn new(server: &mut TestServer<Members>, nth: usize) -> Side {
        let peer = server.connect(Member).unwrap();
        let name = ['a', 'b', 'c'][nth];
        let (lines, received) = (Vec::new(), Vec::new());
        Side { peer, name, lines, half: None, bytes: 0, ended: false, reset: false, received }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Line => self.say(),
            Event::Half => {
                let line = self.next_line();
                self.send(&line[..1]);
                self.half = Some(line);
            }
            Event::RestAndLine => {
                let line = self.half.take().unwrap();
                self.lines.push(line.clone());
                let next = self.next_line();
                self.lines.push(next.clone());
                self.send(&format!("{}{next}", &line[1..]));
            }
            Event::Full => self.peer.set_room(1),
            Event::Room => self.peer.set_room(usize::MAX),
            Event::End => self.end(),
            Event::LineAndEnd => {
                self.say();
                self.end();
            }
            Event::Reset => {
                self.peer.reset();
                self.reset = true;
            }
        }
    }

    fn next_line(&self) -> String {
        format!("{}{}\n", self.name, self.lines.len())
    }

    fn say(&mut self) {
        let line = self.next_line();
        self.send(&line);
        self.lines.push(line);
    }

    fn send(&mut self, text: &str) {
        self.peer.send(text);
        self.bytes += text.len() as u64;
    }

    fn end(&mut self) {
        self.peer.end();
        self.ended = true;
    }

    /// Of all that it received, the lines of one; the last may not be whole.
    fn lines_of(&self, name: char) -> String {
        let text = std::str::from_utf8(&self.received).unwrap();
        text.split_inclusive('\n').filter(|line| line.starts_with(name)).collect()
    }
}

/// What must hold for what `one` received when all is over: by order all of it, if it stayed to the
/// end as the sender did, and at least what it said itself, unless it was reset.
fn check(one: &Side, of: &Side) {
    let (said, got) = (of.lines.concat(), one.lines_of(of.name));
    assert!(said.starts_with(&got), "{} got {got:?} of {said:?}", one.name);
    let stayed = !one.ended && !one.reset;
    let must = stayed && !of.reset || one.name == of.name && !one.reset;
    assert!(!must || got == said, "{} got only {got:?} of {said:?}", one.name);
}

fn play(scripts: [Script; 3], order: [usize; 9], runs: u16) {
    let options = Options { high_water: 6, low_water: 2, ..Options::default() };
    let mut server = TestServer::with_shared(Members::new(), options).unwrap();
    let mut sides = [0, 1, 2].map(|nth| Side::new(&mut server, nth));
    let mut done = [0; 3];
    for (nth, who) in order.into_iter().enumerate() {
        sides[who].happen(scripts[who][done[who]]);
        done[who] += 1;
        if (runs >> nth) & 1 == 1 {
            server.run();
            server.io().verify_stats().unwrap();
        }
    }
    server.run();
    // Who did not end stays, and gets all there is.
    for side in &mut sides {
        side.peer.set_room(usize::MAX);
    }
    server.run();
    for side in &mut sides {
        side.received = side.peer.received();
    }
    for one in &sides {
        for of in &sides {
            check(one, of);
        }
        assert_eq!(one.peer.finished().is_some(), one.ended || one.reset, "{}", one.name);
    }
    for side in &sides {
        side.peer.end();
    }
    server.run();
    check_end(&mut server, &sides);
}

/// Everybody has ended, and every byte is accounted for.
fn check_end(server: &mut TestServer<Members>, sides: &[Side; 3]) {
    server.io().verify_stats().unwrap();
    assert_eq!((server.io().connection_count(), server.shared().len()), (0, 0));
    let stats = *server.io().stats();
    let received: usize = sides.iter().map(|side| side.received.len()).sum();
    assert_eq!((stats.bytes_out, stats.pending_output()), (received as u64, 0));
    let sent: u64 = sides.iter().map(|side| side.bytes).sum();
    let no_reset = sides.iter().all(|side| !side.reset);
    assert!(stats.bytes_in == sent || !no_reset && stats.bytes_in < sent);
    assert!(stats.bytes_dropped == 0 || !no_reset, "dropped although nobody was reset");
    for side in sides {
        let finished = side.peer.finished().unwrap();
        let well = finished.reason == CloseReason::Closed && !side.peer.was_reset();
        assert!(well || side.reset && finished.reason == CloseReason::IoError, "{finished:?}");
    }
}

#[test]
fn three_connections_get_their_lines_in_every_order_of_events() {
    let orders = orders();
    assert_eq!(orders.len(), 1_680);
    let all = std::env::var_os("INTERLEAVINGS").is_some_and(|which| which == "all");
    let count = SCRIPTS.len();
    let mut played = 0_u64;
    for nth in 0..count.pow(3) {
        let chosen = [nth % count, nth / count % count, nth / count / count];
        // Each script once in each place.
        if !all && (chosen[1] != (chosen[0] + 3) % count || chosen[2] != (chosen[0] + 7) % count) {
            continue;
        }
        let scripts = chosen.map(|nth| SCRIPTS[nth]);
        for (nth, &order) in orders.iter().enumerate() {
            // After each event, only at the end, and after some that differ from order to order.
            let mixed = ((nth * 0x9E37) >> 3) as u16;
            let runs =
                if all { vec![u16::MAX, 0, mixed] } else { vec![[u16::MAX, 0, mixed][nth % 3]] };
            for runs in runs {
                let played = std::panic::catch_unwind(|| play(scripts, order, runs));
                assert!(
                    played.is_ok(),
                    "{scripts:?} in the order {order:?}, turns after {runs:#b}"
                );
            }
            played += if all { 3 } else { 1 };
        }
    }
    println!("{played} interleavings were played");
    assert!(played >= 9 * 1_680);
}
