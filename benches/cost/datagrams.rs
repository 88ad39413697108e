//! The rows about datagrams: ours beside a plain loop of `recvfrom` and `sendto`, and beside the
//! same loop on mio.

use std::io;
use std::time::Instant;

use crate::packet_clients::PacketClients;
use crate::process::{self, PacketKind};
use crate::server_process::ServerProcess;
use crate::table::{Effort, Samples};
use crate::watching::progress;

const SIZE: usize = 64;

/// How many datagrams each client sends before all wait for the last of them, if they need not go
/// together: so many that the beginning and the end do not count.
const LONG: usize = 40;

/// All three servers, in the order of [`PacketKind::ALL`].
const SERVERS: usize = PacketKind::ALL.len();

/// Prints the rows whose titles contain `only`.
pub(crate) fn print_rows(effort: Effort, only: &str) -> io::Result<()> {
    for (crowd, clients, each) in
        [("1 client", 1, LONG), ("50 clients", 50, LONG), ("50 at once", 50, 1)]
    {
        let what = format!("ns a udp datagram of {SIZE} B, {crowd}");
        if what.contains(only) {
            progress(&what);
            let (rounds, lost) = measure(clients, each, effort)?;
            progress("");
            print_both(&what, if clients == 1 { "1.05" } else { "0.98" }, &rounds);
            if lost > 0 {
                println!("    ({lost} datagrams were lost and sent again)");
            }
        }
    }
    Ok(())
}

fn print_both(what: &str, goal: &str, rounds: &[[f64; SERVERS]]) {
    let beside_loop = rounds.iter().map(|&[ours, plain, _]| (ours, plain));
    let beside_mio = rounds.iter().map(|&[ours, _, mio]| (ours, mio));
    Samples::new(beside_loop).print(&format!("{what} (loop)"), goal);
    Samples::new(beside_mio).print(&format!("{what} (mio)"), "");
}

/// What a datagram cost each server, round by round, and how many were lost.
fn measure(
    clients: usize,
    each: usize,
    effort: Effort,
) -> io::Result<(Vec<[f64; SERVERS]>, usize)> {
    let mut sides = Vec::new();
    for kind in PacketKind::ALL {
        let server = process::start(kind.role(), &[])?;
        let mut clients = PacketClients::connect(server.addr(), clients, SIZE)?;
        clients.exchange(LONG)?;
        sides.push((server, clients));
    }
    let mut rounds = vec![[0.0; SERVERS]; effort.rounds];
    for (round, costs) in rounds.iter_mut().enumerate() {
        for turn in 0..SERVERS {
            // Who begins changes from round to round.
            let nth = (round + turn) % SERVERS;
            let (server, of_server) = &mut sides[nth];
            costs[nth] = load(server, of_server, clients * each, effort)?;
        }
    }
    let lost = sides.iter().map(|(_, clients)| clients.lost()).sum();
    for (server, _) in sides {
        server.end()?;
    }
    Ok((rounds, lost))
}

/// Nanoseconds of CPU a datagram.
fn load(
    server: &ServerProcess,
    clients: &mut PacketClients,
    together: usize,
    effort: Effort,
) -> io::Result<f64> {
    let begin = Instant::now();
    let before = server.cpu()?;
    let mut datagrams = 0;
    while begin.elapsed() < effort.load {
        clients.exchange(together)?;
        datagrams += together;
    }
    Ok((server.cpu()? - before) as f64 / datagrams as f64)
}
