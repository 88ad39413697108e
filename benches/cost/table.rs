//! The table: both servers under the same load in turn, many short rounds each.
//!
//! A machine is never quiet, so no figure is taken once. Each round measures both servers right
//! after one another and gives one ratio; the table shows the median of the ratios and how far
//! they lie apart.

use std::fs;
use std::io::{self, IsTerminal};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{self, Clients};
use crate::load;
use crate::machine::{raise_descriptor_limit, share_one_processor};
use crate::process::{Kind, ServerProcess};

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    rounds: usize,
    /// Of one server in one round.
    load: Duration,
    bulk: usize,
    short: usize,
    crowd: usize,
    crowd_rounds: usize,
    idle: Duration,
}

/// About one minute.
pub(crate) const FULL: Effort = Effort {
    rounds: 41,
    load: Duration::from_millis(60),
    bulk: 64 << 20,
    short: 1_000,
    crowd: 10_000,
    crowd_rounds: 7,
    idle: Duration::from_secs(5),
};

/// A few seconds: shows that it works, and a difference of factors.
pub(crate) const QUICK: Effort = Effort {
    rounds: 3,
    load: Duration::from_millis(40),
    bulk: 32 << 20,
    short: 200,
    crowd: 2_000,
    crowd_rounds: 1,
    idle: Duration::from_millis(500),
};

/// What one kind of load cost, round by round: ours and bare.
#[derive(Default)]
struct Samples(Vec<(f64, f64)>);

pub(crate) fn print_table(effort: Effort) -> io::Result<()> {
    raise_descriptor_limit();
    let where_to = if share_one_processor() { "one processor" } else { "any processor" };
    println!("ours: this crate with idle timeouts armed; bare: the same echo directly on mio");
    println!(
        "median of the rounds [smallest, largest]; CPU in user space and kernel, on {where_to}\n"
    );
    println!("{:<44} {:>9} {:>9}  {:<22} goal", "", "ours", "bare", "ours / bare");
    for (connections, size, goal) in [
        (1, 64, ""),
        (50, 64, "1.02"),
        (1_000, 64, "1.02"),
        (1, 16 << 10, ""),
        (50, 16 << 10, "1.03"),
        (1_000, 16 << 10, "1.03"),
    ] {
        let what = format!("ns a message of {size} B, {connections} connections");
        measure_messages(connections, size, effort)?.print(&what, goal);
    }
    measure_short(effort)?.print("ns a short connection, 50 at a time", "");
    measure_bulk(effort)?.print("us a MiB of one bulk stream", "1.05");
    print_crowd(effort)
}

fn measure_messages(connections: usize, size: usize, effort: Effort) -> io::Result<Samples> {
    progress(&format!("{connections} connections, {size} B"));
    let (ours, bare) = start_both()?;
    let mut of_ours = Clients::connect(ours.addr(), connections, size)?;
    let mut of_bare = Clients::connect(bare.addr(), connections, size)?;
    of_ours.round()?;
    of_bare.round()?;
    Samples::take(effort.rounds, |kind| {
        let (server, clients) = match kind {
            Kind::Ours => (&ours, &mut of_ours),
            Kind::Bare => (&bare, &mut of_bare),
        };
        let begin = Instant::now();
        let before = server.cpu()?;
        let mut messages = 0;
        while begin.elapsed() < effort.load {
            clients.round()?;
            messages += connections;
        }
        Ok((server.cpu()? - before) as f64 / messages as f64)
    })
}

fn measure_short(effort: Effort) -> io::Result<Samples> {
    progress("short connections");
    let (ours, bare) = start_both()?;
    Samples::take(effort.rounds, |kind| {
        let server = if let Kind::Ours = kind { &ours } else { &bare };
        let before = server.cpu()?;
        load::short_connections(server.addr(), effort.short, 50)?;
        Ok((server.cpu()? - before) as f64 / effort.short as f64)
    })
}

fn measure_bulk(effort: Effort) -> io::Result<Samples> {
    progress("bulk");
    let (ours, bare) = start_both()?;
    let of_ours = client::connect(ours.addr())?;
    let of_bare = client::connect(bare.addr())?;
    Samples::take(effort.rounds, |kind| {
        let (server, stream) =
            if let Kind::Ours = kind { (&ours, &of_ours) } else { (&bare, &of_bare) };
        let before = server.cpu()?;
        load::bulk(stream, effort.bulk)?;
        Ok((server.cpu()? - before) as f64 / 1e3 / (effort.bulk >> 20) as f64)
    })
}

/// What many connections cost: memory, a message, and silence. The clients of both servers would
/// need more descriptors than a process has, so each round starts them anew.
fn print_crowd(effort: Effort) -> io::Result<()> {
    let crowd = effort.crowd.min(descriptors()?.saturating_sub(100));
    let (mut memory, mut messages) = (Samples::default(), Samples::default());
    for round in 0..effort.crowd_rounds {
        progress(&format!("{crowd} connections, round {round}"));
        let (of_ours, of_bare) = in_turn(round, |kind| measure_crowd(kind, crowd, effort))?;
        memory.0.push((of_ours.0, of_bare.0));
        messages.0.push((of_ours.1, of_bare.1));
    }
    messages.print(&format!("ns a message of 64 B, {crowd} connections"), "1.03");
    memory.print(&format!("bytes a connection that has spoken, of {crowd}"), "128 bytes");
    progress("idle");
    let (ours, bare) = in_turn(0, |kind| measure_idle(kind, crowd, effort))?;
    Samples(vec![(ours, bare)])
        .print(&format!("us of CPU a second, {crowd} idle connections"), "0 us");
    Ok(())
}

/// Bytes a connection, and nanoseconds a message.
fn measure_crowd(kind: Kind, crowd: usize, effort: Effort) -> io::Result<(f64, f64)> {
    let server = ServerProcess::start(kind, &[])?;
    // What is needed once for all is in use before.
    Clients::connect(server.addr(), 1, 64)?.round()?;
    let before = server.memory()?;
    let mut clients = Clients::connect(server.addr(), crowd, 64)?;
    clients.round()?;
    let memory = (server.memory()?.saturating_sub(before)) as f64 / crowd as f64;
    let begin = Instant::now();
    let before = server.cpu()?;
    let mut messages = 0;
    while begin.elapsed() < 3 * effort.load {
        clients.round()?;
        messages += crowd;
    }
    let cpu = (server.cpu()? - before) as f64 / messages as f64;
    drop(clients);
    server.end()?;
    Ok((memory, cpu))
}

fn measure_idle(kind: Kind, crowd: usize, effort: Effort) -> io::Result<f64> {
    let server = ServerProcess::start(kind, &[])?;
    let mut clients = Clients::connect(server.addr(), crowd, 64)?;
    clients.round()?;
    // The end of the last turn belongs to the load.
    thread::sleep(Duration::from_millis(50));
    let before = server.cpu()?;
    thread::sleep(effort.idle);
    Ok((server.cpu()? - before) as f64 / 1e3 / effort.idle.as_secs_f64())
}

fn start_both() -> io::Result<(ServerProcess, ServerProcess)> {
    Ok((ServerProcess::start(Kind::Ours, &[])?, ServerProcess::start(Kind::Bare, &[])?))
}

/// Measures ours and bare, in an order that changes from round to round.
fn in_turn<T>(round: usize, mut take: impl FnMut(Kind) -> io::Result<T>) -> io::Result<(T, T)> {
    if round % 2 == 0 {
        let ours = take(Kind::Ours)?;
        Ok((ours, take(Kind::Bare)?))
    } else {
        let bare = take(Kind::Bare)?;
        Ok((take(Kind::Ours)?, bare))
    }
}

impl Samples {
    fn take(rounds: usize, mut sample: impl FnMut(Kind) -> io::Result<f64>) -> io::Result<Samples> {
        let samples = (0..rounds).map(|round| in_turn(round, &mut sample));
        samples.collect::<io::Result<Vec<_>>>().map(Samples)
    }

    fn print(&self, what: &str, goal: &str) {
        progress("");
        let ours = spread(self.0.iter().map(|(ours, _)| *ours));
        let bare = spread(self.0.iter().map(|(_, bare)| *bare));
        let (least, ratio, most) = spread(self.0.iter().map(|(ours, bare)| ours / bare));
        let ratios = if ratio.is_finite() {
            format!("{ratio:.3} [{least:.2}, {most:.2}]")
        } else {
            String::from("-")
        };
        println!("{what:<44} {:>9.0} {:>9.0}  {ratios:<22} {goal}", ours.1, bare.1);
    }
}

/// The smallest, the median and the largest.
fn spread(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    (values[0], values[values.len() / 2], values[values.len() - 1])
}

/// How many descriptors a process may open.
fn descriptors() -> io::Result<usize> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    // The only word that is no number is "unlimited".
    Ok(soft.and_then(|soft| soft.parse().ok()).unwrap_or(usize::MAX))
}

/// Tells who is watching what is measured now.
fn progress(what: &str) {
    if io::stderr().is_terminal() {
        eprint!("\r\x1b[K{what}");
    }
}
