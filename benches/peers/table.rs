//! The table: all servers under the same load in turn, many short rounds each.

use std::io;
use std::time::{Duration, Instant};

use crate::client::Clients;
use crate::head;
use crate::machine::{raise_descriptor_limit, share_one_processor};
use crate::peer::{Locked, Peer};
use crate::python;
use crate::rounds::{Rounds, bytes, column, grouped, in_turn, print_columns, ratios};
use crate::server_process::ServerProcess;
use crate::watching::{descriptors, progress};

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    rounds: usize,
    /// Of one server in one round.
    load: Duration,
    memory_rounds: usize,
}

/// About two minutes.
pub(crate) const FULL: Effort =
    Effort { rounds: 51, load: Duration::from_millis(60), memory_rounds: 3 };

/// Some seconds: shows that it works, and a difference of factors.
pub(crate) const QUICK: Effort =
    Effort { rounds: 3, load: Duration::from_millis(40), memory_rounds: 1 };

const CROWD: usize = 1_000;

pub(crate) fn print_table(effort: Effort) -> io::Result<()> {
    raise_descriptor_limit();
    let shares_processor = share_one_processor();
    let python = python::version();
    if python.is_none() {
        eprintln!("peers: there is no python3 here, so its two rows are left out");
    }
    let peers = Peer::ALL.into_iter().filter(|peer| python.is_some() || !peer.is_python());
    let peers: Vec<Peer> = peers.collect();
    head::print(effort.rounds, shares_processor, python.as_deref());
    // The clients of all servers are open at the same time, in this process.
    let crowd = CROWD.min(descriptors()?.saturating_sub(100) / peers.len());

    let locked = Locked::read();
    let names = peers.iter().map(|peer| peer.name(&locked)).collect();
    let mut columns = vec![column(String::from("CPU a message"), names)];
    for (connections, size) in [(1, 64), (50, 64), (crowd, 64), (50, 16 << 10)] {
        let (number, unit) = if size < 1_024 { (size, "B") } else { (size >> 10, "KiB") };
        let title = format!("{number} {unit}, {} conn.", grouped(connections as f64));
        progress(&title);
        let rounds = measure_messages(&peers, connections, size, effort)?;
        columns.push(column(title, ratios(&rounds)));
    }
    progress("memory");
    let rounds = measure_memory(&peers, crowd, effort)?;
    columns.push(column(format!("memory, of {} conn.", grouped(crowd as f64)), bytes(&rounds)));
    progress("");
    print_columns(&columns);
    Ok(())
}

/// Nanoseconds of CPU a message.
fn measure_messages(
    peers: &[Peer],
    connections: usize,
    size: usize,
    effort: Effort,
) -> io::Result<Rounds> {
    let mut sides = Vec::new();
    for peer in peers {
        let server = peer.start()?;
        let mut clients = Clients::connect(server.addr(), connections, size)?;
        // What is done once for all is done before.
        load(&server, &mut clients, connections, effort)?;
        sides.push((server, clients));
    }
    let rounds = in_turn(effort.rounds, peers.len(), |nth| {
        let (server, clients) = &mut sides[nth];
        load(server, clients, connections, effort)
    })?;
    sides.into_iter().try_for_each(|(server, _)| server.end())?;
    Ok(rounds)
}

fn load(
    server: &ServerProcess,
    clients: &mut Clients,
    connections: usize,
    effort: Effort,
) -> io::Result<f64> {
    let before = server.cpu()?;
    let begin = Instant::now();
    let mut messages = 0;
    while begin.elapsed() < effort.load {
        clients.round()?;
        messages += connections;
    }
    Ok((server.cpu()? - before) as f64 / messages as f64)
}

/// Bytes a connection.
fn measure_memory(peers: &[Peer], crowd: usize, effort: Effort) -> io::Result<Rounds> {
    in_turn(effort.memory_rounds, peers.len(), |nth| {
        let server = peers[nth].start()?;
        // What is needed once for all is in use before.
        let mut first = Clients::connect(server.addr(), 1, 64)?;
        first.round()?;
        let before = server.memory()?;
        let mut clients = Clients::connect(server.addr(), crowd, 64)?;
        clients.round()?;
        let memory = server.memory()?.saturating_sub(before);
        server.end()?;
        Ok(memory as f64 / crowd as f64)
    })
}
