//! The table: all servers under the same load in alternation, in many short rounds.

use std::io;
use std::time::{Duration, Instant};

use super::echo_server::{CargoLock, EchoServer};
use super::head;
use super::python;
use super::support::client::StreamClients;
use super::support::machine::{descriptor_limit, raise_descriptor_limit, share_one_processor};
use super::support::progress;
use super::support::rounds::{Rounds, bytes, column, grouped, in_turn, print_columns, ratios};
use super::support::server_process::ServerProcess;

/// How much to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeersPlan {
    rounds: usize,
    /// Time of one server in one round.
    load: Duration,
    memory_rounds: usize,
}

/// About two minutes.
pub(crate) const FULL: PeersPlan =
    PeersPlan { rounds: 51, load: Duration::from_millis(60), memory_rounds: 3 };

/// Some seconds, for a smoke test.
pub(crate) const QUICK: PeersPlan =
    PeersPlan { rounds: 3, load: Duration::from_millis(40), memory_rounds: 1 };

const MAX_CONNECTIONS: usize = 1_000;

pub(crate) fn print_table(plan: PeersPlan) -> io::Result<()> {
    raise_descriptor_limit();
    let shares_processor = share_one_processor();
    let python = python::version();
    if python.is_none() {
        eprintln!("peers: no python3, so the two rows of Python are skipped");
    }
    let servers = EchoServer::ALL
        .into_iter()
        .filter(|echo_server| python.is_some() || !echo_server.is_python());
    let servers: Vec<EchoServer> = servers.collect();
    head::print(plan.rounds, shares_processor, python.as_deref());
    // The clients of all servers are open in this process at the same time.
    let max_connections =
        MAX_CONNECTIONS.min(descriptor_limit()?.saturating_sub(100) / servers.len());

    let cargo_lock = CargoLock::read();
    let names = servers.iter().map(|echo_server| echo_server.name(&cargo_lock)).collect();
    let mut columns = vec![column(String::from("CPU a message"), names)];
    for (connections, size) in [(1, 64), (50, 64), (max_connections, 64), (50, 16 << 10)] {
        let (number, unit) = if size < 1_024 { (size, "B") } else { (size >> 10, "KiB") };
        let title = format!("{number} {unit}, {} conn.", grouped(connections as f64));
        progress::show(&title);
        let rounds = measure_messages(&servers, connections, size, plan)?;
        columns.push(column(title, ratios(&rounds)));
    }
    progress::show("memory");
    let rounds = measure_memory(&servers, max_connections, plan)?;
    columns.push(column(
        format!("memory, of {} conn.", grouped(max_connections as f64)),
        bytes(&rounds),
    ));
    progress::show("");
    print_columns(&columns);
    Ok(())
}

/// Returns nanoseconds of CPU a message.
fn measure_messages(
    servers: &[EchoServer],
    connections: usize,
    size: usize,
    plan: PeersPlan,
) -> io::Result<Rounds> {
    let mut sides = Vec::new();
    for echo_server in servers {
        let server = echo_server.start()?;
        let mut clients = StreamClients::connect(server.addr(), connections, size)?;
        // The first round allocates what the server allocates once.
        load(&server, &mut clients, connections, plan)?;
        sides.push((server, clients));
    }
    let rounds = in_turn(plan.rounds, servers.len(), |nth| {
        let (server, clients) = &mut sides[nth];
        load(server, clients, connections, plan)
    })?;
    sides.into_iter().try_for_each(|(server, _)| server.stop())?;
    Ok(rounds)
}

fn load(
    server: &ServerProcess,
    clients: &mut StreamClients,
    connections: usize,
    plan: PeersPlan,
) -> io::Result<f64> {
    let before = server.cpu()?;
    let begin = Instant::now();
    let mut messages = 0;
    while begin.elapsed() < plan.load {
        clients.round()?;
        messages += connections;
    }
    Ok((server.cpu()? - before) as f64 / messages as f64)
}

/// Returns bytes a connection.
fn measure_memory(
    servers: &[EchoServer],
    max_connections: usize,
    plan: PeersPlan,
) -> io::Result<Rounds> {
    in_turn(plan.memory_rounds, servers.len(), |nth| {
        let server = servers[nth].start()?;
        // The first connection allocates what the server allocates once.
        let mut first = StreamClients::connect(server.addr(), 1, 64)?;
        first.round()?;
        let before = server.memory()?;
        let mut clients = StreamClients::connect(server.addr(), max_connections, 64)?;
        clients.round()?;
        let memory = server.memory()?.saturating_sub(before);
        server.stop()?;
        Ok(memory as f64 / max_connections as f64)
    })
}
