//! The rows about datagrams: ours beside a plain loop of `recvfrom` and `sendto`, and beside the
//! same loop on mio.

use std::io;
use std::time::Instant;

use super::process::{self, DatagramServer};
use super::support::datagram_clients::DatagramClients;
use super::support::progress;
use super::support::server_process::ServerProcess;
use super::table::{CostPlan, Samples};

const SIZE: usize = 64;

/// Datagrams of each client between two waits, enough that start and end of the exchange do not
/// count.
const PIPELINED: usize = 40;

/// The servers in the order of [`DatagramServer::ALL`].
const SERVERS: usize = DatagramServer::ALL.len();

/// Prints the rows whose titles contain `only`.
pub(crate) fn print_rows(plan: CostPlan, only: &str) -> io::Result<()> {
    for (title, clients, each) in
        [("1 client", 1, PIPELINED), ("50 clients", 50, PIPELINED), ("50 at once", 50, 1)]
    {
        let what = format!("ns a udp datagram of {SIZE} B, {title}");
        if what.contains(only) {
            progress::show(&what);
            let (rounds, lost) = measure(clients, each, plan)?;
            progress::show("");
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

/// Returns the cost of a datagram for each server in each round, and the count of lost ones.
fn measure(
    clients: usize,
    each: usize,
    plan: CostPlan,
) -> io::Result<(Vec<[f64; SERVERS]>, usize)> {
    let mut sides = Vec::new();
    for kind in DatagramServer::ALL {
        let server = process::start(kind.role(), &[])?;
        let mut clients = DatagramClients::connect(server.addr(), clients, SIZE)?;
        clients.exchange(PIPELINED)?;
        sides.push((server, clients));
    }
    let mut rounds = vec![[0.0; SERVERS]; plan.rounds];
    for (round, costs) in rounds.iter_mut().enumerate() {
        for turn in 0..SERVERS {
            // The first server changes from round to round.
            let nth = (round + turn) % SERVERS;
            let (server, of_server) = &mut sides[nth];
            costs[nth] = load(server, of_server, clients * each, plan)?;
        }
    }
    let lost = sides.iter().map(|(_, clients)| clients.lost()).sum();
    for (server, _) in sides {
        server.stop()?;
    }
    Ok((rounds, lost))
}

/// Returns nanoseconds of CPU a datagram.
fn load(
    server: &ServerProcess,
    clients: &mut DatagramClients,
    together: usize,
    plan: CostPlan,
) -> io::Result<f64> {
    let begin = Instant::now();
    let before = server.cpu()?;
    let mut datagrams = 0;
    while begin.elapsed() < plan.load {
        clients.exchange(together)?;
        datagrams += together;
    }
    Ok((server.cpu()? - before) as f64 / datagrams as f64)
}
