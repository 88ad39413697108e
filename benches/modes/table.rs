//! The table: all modes under the same load in turn, many short rounds each.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use crate::client::{Clients, connect};
use crate::machine::{raise_descriptor_limit, share_one_processor};
use crate::mode::Mode;
use crate::rounds::{Rounds, bytes, column, grouped, in_turn, print_columns, ratios};
use crate::server_process::ServerProcess;
use crate::usage;
use crate::watching::{descriptors, progress};

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    rounds: usize,
    /// Of one server in one round.
    load: Duration,
    /// Of the rounds in which time is counted in ticks.
    long_rounds: usize,
    long_load: Duration,
    crowd: usize,
}

/// About two minutes.
pub(crate) const FULL: Effort = Effort {
    rounds: 21,
    load: Duration::from_millis(80),
    long_rounds: 5,
    long_load: Duration::from_millis(800),
    crowd: 5_000,
};

/// Some seconds: shows that it works, and a difference of factors.
pub(crate) const QUICK: Effort = Effort {
    rounds: 3,
    load: Duration::from_millis(40),
    long_rounds: 1,
    long_load: Duration::from_millis(300),
    crowd: 200,
};

pub(crate) fn print_table(effort: Effort) -> io::Result<()> {
    raise_descriptor_limit();
    let shares_processor = share_one_processor();
    // The clients of all servers are open at the same time, in this process.
    let crowd = effort.crowd.min(descriptors()?.saturating_sub(100) / Mode::ALL.len());
    print_head(&effort, shares_processor);
    let names = Mode::ALL.iter().map(|mode| String::from(mode.name())).collect();
    let mut columns = vec![column(String::from("CPU a message"), names)];
    for (connections, size) in
        [(1, 64), (50, 64), (1_000.min(crowd), 64), (crowd, 64), (50, 16 << 10)]
    {
        let (number, unit) = if size < 1_024 { (size, "B") } else { (size >> 10, "KiB") };
        let title = format!("{number} {unit}, {} clients", grouped(connections as f64));
        progress(&title);
        let [cpu, rate] = measure_messages(connections, size, effort)?;
        if (connections, size) == (50, 64) {
            columns.push(column(String::from("messages/s, 50 clients"), rates(&rate)));
        }
        columns.push(column(title, ratios(&cpu)));
    }
    progress("short connections");
    columns.push(column(String::from("short connection"), ratios(&measure_short(effort)?)));
    progress("memory");
    let memory = measure_memory(1_000.min(crowd))?;
    columns.push(column(String::from("memory a client"), bytes(&memory)));
    progress("");
    print_columns(&columns);
    Ok(())
}

fn print_head(effort: &Effort, shares_processor: bool) {
    let place =
        if shares_processor { "one processor" } else { "ANY processor, for want of taskset" };
    println!("Server and clients share {place}. CPU: that of all threads and processes of the");
    println!(
        "server; medians of the ratios to one loop in {} interleaved rounds [lower",
        effort.rounds
    );
    println!("quartile, upper quartile]. A short connection is connect, 64 bytes there and back,");
    println!("and close; its time counts whole processes, from fork to exit. Memory: anonymous");
    println!("pages of the server's processes, shared ones divided; a thread's or a process's own");
    println!("memory in the kernel does not count.");
    println!();
}

/// Nanoseconds of CPU a message, and messages a second.
fn measure_messages(connections: usize, size: usize, effort: Effort) -> io::Result<[Rounds; 2]> {
    let mut sides = Vec::new();
    for mode in Mode::ALL {
        let server = mode.start()?;
        let mut clients = Clients::connect(server.addr(), connections, size)?;
        // What is done once for all is done before.
        clients.round()?;
        sides.push((server, clients));
    }
    let mut rates = Vec::new();
    let cpu = in_turn(effort.rounds, sides.len(), |nth| {
        let (server, clients) = &mut sides[nth];
        let (cpu, rate) = load(server, clients, connections, effort.load)?;
        rates.push((nth, rate));
        Ok(cpu)
    })?;
    let mut rate = vec![vec![0.0; sides.len()]; effort.rounds];
    for (number, (nth, figure)) in rates.into_iter().enumerate() {
        rate[number / sides.len()][nth] = figure;
    }
    for (server, clients) in sides {
        drop(clients);
        server.end()?;
    }
    Ok([cpu, rate])
}

fn load(
    server: &ServerProcess,
    clients: &mut Clients,
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

/// Nanoseconds of CPU a short connection.
fn measure_short(effort: Effort) -> io::Result<Rounds> {
    let servers = Mode::ALL.into_iter().map(Mode::start).collect::<io::Result<Vec<_>>>()?;
    let rounds = in_turn(effort.long_rounds, servers.len(), |nth| {
        let server = &servers[nth];
        let before = usage::cpu_with_the_dead(server)?;
        let begin = Instant::now();
        let mut connections = 0;
        while begin.elapsed() < effort.long_load {
            let mut stream = connect(server.addr())?;
            stream.write_all(&[b'x'; 64])?;
            stream.shutdown(Shutdown::Write)?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            if answer != [b'x'; 64] {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a wrong echo"));
            }
            connections += 1;
        }
        Ok((usage::cpu_with_the_dead(server)? - before) as f64 / f64::from(connections))
    })?;
    servers.into_iter().try_for_each(ServerProcess::end)?;
    Ok(rounds)
}

/// Bytes a client that has spoken and is silent.
fn measure_memory(crowd: usize) -> io::Result<Rounds> {
    in_turn(1, Mode::ALL.len(), |nth| {
        let server = Mode::ALL[nth].start()?;
        // What is needed once for all is in use before.
        let mut first = Clients::connect(server.addr(), 1, 64)?;
        first.round()?;
        let before = usage::memory(&server)?;
        let mut clients = Clients::connect(server.addr(), crowd, 64)?;
        clients.round()?;
        let memory = usage::memory(&server)?.saturating_sub(before);
        drop((first, clients));
        server.end()?;
        Ok(memory as f64 / crowd as f64)
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
