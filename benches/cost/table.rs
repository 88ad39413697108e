//! The table: both servers under the same load in turn, many short rounds each.
//!
//! A machine is never quiet, so no figure is taken once. Each round measures both servers right
//! after one another and gives one ratio; the table shows the median of the ratios and how far
//! they lie apart.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{self, Clients};
use crate::datagrams;
use crate::load;
use crate::machine::{raise_descriptor_limit, share_one_processor};
use crate::process::{self, Kind};
use crate::server_process::ServerProcess;
use crate::watching::{descriptors, progress};

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    /// Of one server in one round.
    pub(crate) load: Duration,
    bulk: usize,
    short: usize,
    crowd: usize,
    memory_rounds: usize,
    idle: Duration,
}

/// About two minutes.
pub(crate) const FULL: Effort = Effort {
    rounds: 41,
    load: Duration::from_millis(60),
    bulk: 64 << 20,
    short: 1_000,
    crowd: 10_000,
    memory_rounds: 3,
    idle: Duration::from_secs(5),
};

/// A few seconds: shows that it works, and a difference of factors.
pub(crate) const QUICK: Effort = Effort {
    rounds: 3,
    load: Duration::from_millis(40),
    bulk: 32 << 20,
    short: 200,
    crowd: 2_000,
    memory_rounds: 1,
    idle: Duration::from_millis(500),
};

/// What one kind of load cost, round by round: ours and bare.
pub(crate) struct Samples(Vec<(f64, f64)>);

/// Prints the rows whose titles contain `only`.
pub(crate) fn print_table(effort: Effort, only: &str) -> io::Result<()> {
    raise_descriptor_limit();
    let where_to = if share_one_processor() { "one processor" } else { "any processor" };
    println!("ours: this crate with idle timeouts armed; bare: the same echo directly on mio");
    println!("udp: beside a plain loop of recvfrom and sendto, and beside the same on mio");
    println!(
        "median of the rounds [smallest, largest]; CPU in user space and kernel, on {where_to}\n"
    );
    println!("{:<44} {:>9} {:>9}  {:<22} goal", "", "ours", "bare", "ours / bare");
    // The clients of both servers are open at the same time, in this process.
    let crowd = effort.crowd.min(descriptors()?.saturating_sub(100) / 2);
    for (connections, size, goal) in [
        (1, 64, ""),
        (50, 64, "1.02"),
        (1_000, 64, "1.02"),
        (crowd, 64, "1.03"),
        (1, 16 << 10, ""),
        (50, 16 << 10, "1.03"),
        (1_000, 16 << 10, "1.03"),
    ] {
        let what = format!("ns a message of {size} B, {connections} connections");
        row(&what, goal, only, || measure_messages(connections, size, effort))?;
    }
    row("ns a short connection, 50 at a time", "", only, || measure_short(effort))?;
    row("us a MiB of one bulk stream", "1.05", only, || measure_bulk(effort))?;
    datagrams::print_rows(effort, only)?;
    let crowd = effort.crowd.min(descriptors()?.saturating_sub(100));
    let what = format!("bytes a connection that has spoken, of {crowd}");
    row(&what, "128 bytes", only, || {
        Samples::take(effort.memory_rounds, |kind| measure_memory(kind, crowd))
    })?;
    let what = format!("us of CPU a second, {crowd} idle connections");
    row(&what, "0 us", only, || Samples::take(1, |kind| measure_idle(kind, crowd, effort)))
}

fn row(
    what: &str,
    goal: &str,
    only: &str,
    measure: impl FnOnce() -> io::Result<Samples>,
) -> io::Result<()> {
    if what.contains(only) {
        progress(what);
        let samples = measure()?;
        progress("");
        samples.print(what, goal);
    }
    Ok(())
}

fn measure_messages(connections: usize, size: usize, effort: Effort) -> io::Result<Samples> {
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
    let (ours, bare) = start_both()?;
    Samples::take(effort.rounds, |kind| {
        let server = if let Kind::Ours = kind { &ours } else { &bare };
        let before = server.cpu()?;
        load::short_connections(server.addr(), effort.short, 50)?;
        Ok((server.cpu()? - before) as f64 / effort.short as f64)
    })
}

fn measure_bulk(effort: Effort) -> io::Result<Samples> {
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

fn measure_memory(kind: Kind, crowd: usize) -> io::Result<f64> {
    let server = process::start(kind.role(), &[])?;
    // What is needed once for all is in use before.
    Clients::connect(server.addr(), 1, 64)?.round()?;
    let before = server.memory()?;
    let mut clients = Clients::connect(server.addr(), crowd, 64)?;
    clients.round()?;
    let memory = server.memory()?.saturating_sub(before);
    drop(clients);
    server.end()?;
    Ok(memory as f64 / crowd as f64)
}

fn measure_idle(kind: Kind, crowd: usize, effort: Effort) -> io::Result<f64> {
    let server = process::start(kind.role(), &[])?;
    let mut clients = Clients::connect(server.addr(), crowd, 64)?;
    clients.round()?;
    // The end of the last turn belongs to the load.
    thread::sleep(Duration::from_millis(50));
    let before = server.cpu()?;
    thread::sleep(effort.idle);
    Ok((server.cpu()? - before) as f64 / 1e3 / effort.idle.as_secs_f64())
}

fn start_both() -> io::Result<(ServerProcess, ServerProcess)> {
    let start = |kind: Kind| process::start(kind.role(), &[]);
    Ok((start(Kind::Ours)?, start(Kind::Bare)?))
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
    pub(crate) fn new(rounds: impl Iterator<Item = (f64, f64)>) -> Samples {
        Samples(rounds.collect())
    }

    fn take(rounds: usize, mut sample: impl FnMut(Kind) -> io::Result<f64>) -> io::Result<Samples> {
        let samples = (0..rounds).map(|round| in_turn(round, &mut sample));
        samples.collect::<io::Result<Vec<_>>>().map(Samples)
    }

    pub(crate) fn print(&self, what: &str, goal: &str) {
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
