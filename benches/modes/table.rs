//! The table: all modes under the same load in alternation, in many short rounds.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use super::mode::ServerMode;
use super::support::client::{StreamClients, connect};
use super::support::machine::{descriptor_limit, raise_descriptor_limit, share_one_processor};
use super::support::progress;
use super::support::rounds::{Rounds, bytes, column, grouped, in_turn, print_columns, ratios};
use super::support::server_process::ServerProcess;
use super::usage;

/// How much to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ModesPlan {
    rounds: usize,
    /// Time of one server in one round.
    load: Duration,
    /// Rounds of figures that have the resolution of a tick.
    long_rounds: usize,
    long_load: Duration,
    max_connections: usize,
}

/// About two minutes.
pub(crate) const FULL: ModesPlan = ModesPlan {
    rounds: 21,
    load: Duration::from_millis(80),
    long_rounds: 5,
    long_load: Duration::from_millis(800),
    max_connections: 5_000,
};

/// Some seconds, for a smoke test.
pub(crate) const QUICK: ModesPlan = ModesPlan {
    rounds: 3,
    load: Duration::from_millis(40),
    long_rounds: 1,
    long_load: Duration::from_millis(300),
    max_connections: 200,
};

pub(crate) fn print_table(plan: ModesPlan) -> io::Result<()> {
    raise_descriptor_limit();
    let shares_processor = share_one_processor();
    // The clients of all servers are open in this process at the same time.
    let max_connections =
        plan.max_connections.min(descriptor_limit()?.saturating_sub(100) / ServerMode::ALL.len());
    print_head(&plan, shares_processor);
    let names = ServerMode::ALL.iter().map(|mode| String::from(mode.name())).collect();
    let mut columns = vec![column(String::from("CPU a message"), names)];
    for (connections, size) in
        [(1, 64), (50, 64), (1_000.min(max_connections), 64), (max_connections, 64), (50, 16 << 10)]
    {
        let (number, unit) = if size < 1_024 { (size, "B") } else { (size >> 10, "KiB") };
        let title = format!("{number} {unit}, {} clients", grouped(connections as f64));
        progress::show(&title);
        let [cpu, rate] = measure_messages(connections, size, plan)?;
        if (connections, size) == (50, 64) {
            columns.push(column(String::from("messages/s, 50 clients"), rates(&rate)));
        }
        columns.push(column(title, ratios(&cpu)));
    }
    progress::show("short connections");
    columns.push(column(String::from("short connection"), ratios(&measure_short(plan)?)));
    progress::show("memory");
    let memory = measure_memory(1_000.min(max_connections))?;
    columns.push(column(String::from("memory a client"), bytes(&memory)));
    progress::show("");
    print_columns(&columns);
    Ok(())
}

fn print_head(plan: &ModesPlan, shares_processor: bool) {
    let place =
        if shares_processor { "one processor" } else { "ANY processor, since taskset is missing" };
    println!("Server and clients share {place}. CPU: that of all threads and processes of the");
    println!(
        "server; medians of the ratios to one loop in {} interleaved rounds [lower",
        plan.rounds
    );
    println!("quartile, upper quartile]. A short connection is connect, 64 bytes there and back,");
    println!("and close; its time counts whole processes, from fork to exit. Memory: anonymous");
    println!("pages of the server's processes, shared ones divided; a thread's or a process's own");
    println!("memory in the kernel does not count.");
    println!();
}

/// Returns nanoseconds of CPU a message, and messages a second.
fn measure_messages(connections: usize, size: usize, plan: ModesPlan) -> io::Result<[Rounds; 2]> {
    let mut sides = Vec::new();
    for mode in ServerMode::ALL {
        let server = mode.start()?;
        let mut clients = StreamClients::connect(server.addr(), connections, size)?;
        // The first round allocates what the server allocates once.
        clients.round()?;
        sides.push((server, clients));
    }
    let mut rates = Vec::new();
    let cpu = in_turn(plan.rounds, sides.len(), |nth| {
        let (server, clients) = &mut sides[nth];
        let (cpu, rate) = load(server, clients, connections, plan.load)?;
        rates.push((nth, rate));
        Ok(cpu)
    })?;
    let mut rate = vec![vec![0.0; sides.len()]; plan.rounds];
    for (number, (nth, figure)) in rates.into_iter().enumerate() {
        rate[number / sides.len()][nth] = figure;
    }
    for (server, clients) in sides {
        drop(clients);
        server.stop()?;
    }
    Ok([cpu, rate])
}

fn load(
    server: &ServerProcess,
    clients: &mut StreamClients,
    connections: usize,
    time: Duration,
) -> io::Result<(f64, f64)> {
    let before = usage::cpu(server)?;
    let begin = Instant::now();
    let mut messages = 0;
    while begin.elapsed() < time {
        clients.round()?;
        messages += connections;
    }
    let rate = messages as f64 / begin.elapsed().as_secs_f64();
    Ok(((usage::cpu(server)? - before) as f64 / messages as f64, rate))
}

/// Returns nanoseconds of CPU a short connection.
fn measure_short(plan: ModesPlan) -> io::Result<Rounds> {
    let servers =
        ServerMode::ALL.into_iter().map(ServerMode::start).collect::<io::Result<Vec<_>>>()?;
    let rounds = in_turn(plan.long_rounds, servers.len(), |nth| {
        let server = &servers[nth];
        let before = usage::cpu_with_reaped_children(server)?;
        let begin = Instant::now();
        let mut connections = 0;
        while begin.elapsed() < plan.long_load {
            let mut stream = connect(server.addr())?;
            stream.write_all(&[b'x'; 64])?;
            stream.shutdown(Shutdown::Write)?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            if answer != [b'x'; 64] {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the echo differs from what was sent",
                ));
            }
            connections += 1;
        }
        Ok((usage::cpu_with_reaped_children(server)? - before) as f64 / f64::from(connections))
    })?;
    servers.into_iter().try_for_each(ServerProcess::stop)?;
    Ok(rounds)
}

/// Returns bytes a client that sent one message and is idle.
fn measure_memory(max_connections: usize) -> io::Result<Rounds> {
    in_turn(1, ServerMode::ALL.len(), |nth| {
        let server = ServerMode::ALL[nth].start()?;
        // The first connection allocates what the server allocates once.
        let mut first = StreamClients::connect(server.addr(), 1, 64)?;
        first.round()?;
        let before = usage::memory(&server)?;
        let mut clients = StreamClients::connect(server.addr(), max_connections, 64)?;
        clients.round()?;
        let memory = usage::memory(&server)?.saturating_sub(before);
        drop((first, clients));
        server.stop()?;
        Ok(memory as f64 / max_connections as f64)
    })
}

fn rates(rounds: &Rounds) -> Vec<String> {
    let middle = |nth: usize| {
        let mut figures: Vec<f64> = rounds.iter().map(|round| round[nth]).collect();
        figures.sort_by(f64::total_cmp);
        grouped(figures[figures.len() / 2])
    };
    (0..rounds[0].len()).map(middle).collect()
}
