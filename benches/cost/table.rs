//! The table: both servers under the same load in alternation, in many short rounds.
//!
//! No machine is idle, so no figure is from one measurement. Each round measures both servers
//! directly after one another and gives one ratio; the table shows the median of the ratios, the
//! smallest and the largest.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::datagrams;
use super::load;
use super::process::{self, StreamServer};
use super::support::client::{self, StreamClients};
use super::support::machine::{descriptor_limit, raise_descriptor_limit, share_one_processor};
use super::support::progress;
use super::support::server_process::ServerProcess;

/// How much to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CostPlan {
    pub(crate) rounds: usize,
    /// Time of one server in one round.
    pub(crate) load: Duration,
    bulk: usize,
    short: usize,
    max_connections: usize,
    memory_rounds: usize,
    idle: Duration,
}

/// About two minutes.
pub(crate) const FULL: CostPlan = CostPlan {
    rounds: 41,
    load: Duration::from_millis(60),
    bulk: 64 << 20,
    short: 1_000,
    max_connections: 10_000,
    memory_rounds: 3,
    idle: Duration::from_secs(5),
};

/// A few seconds, for a smoke test.
pub(crate) const QUICK: CostPlan = CostPlan {
    rounds: 3,
    load: Duration::from_millis(40),
    bulk: 32 << 20,
    short: 200,
    max_connections: 2_000,
    memory_rounds: 1,
    idle: Duration::from_millis(500),
};

/// The figures of ours and bare in each round.
pub(crate) struct Samples(Vec<(f64, f64)>);

/// Prints the rows whose titles contain `only`.
pub(crate) fn print_table(plan: CostPlan, only: &str) -> io::Result<()> {
    raise_descriptor_limit();
    let where_to = if share_one_processor() { "one processor" } else { "any processor" };
    println!("ours: this crate with idle timeouts armed; bare: the same echo directly on mio");
    println!("udp: beside a plain loop of recvfrom and sendto, and beside the same on mio");
    println!(
        "median of the rounds [smallest, largest]; CPU in user space and kernel, on {where_to}\n"
    );
    println!("{:<44} {:>9} {:>9}  {:<22} goal", "", "ours", "bare", "ours / bare");
    // The clients of both servers are open in this process at the same time.
    let max_connections = plan.max_connections.min(descriptor_limit()?.saturating_sub(100) / 2);
    for (connections, size, goal) in [
        (1, 64, ""),
        (50, 64, "1.02"),
        (1_000, 64, "1.02"),
        (max_connections, 64, "1.03"),
        (1, 16 << 10, ""),
        (50, 16 << 10, "1.03"),
        (1_000, 16 << 10, "1.03"),
    ] {
        let what = format!("ns a message of {size} B, {connections} connections");
        row(&what, goal, only, || measure_messages(connections, size, plan))?;
    }
    row("ns a short connection, 50 at a time", "", only, || measure_short(plan))?;
    row("us a MiB of one bulk stream", "1.05", only, || measure_bulk(plan))?;
    datagrams::print_rows(plan, only)?;
    let max_connections = plan.max_connections.min(descriptor_limit()?.saturating_sub(100));
    let what = format!("bytes an idle connection after a message, of {max_connections}");
    row(&what, "128 bytes", only, || {
        Samples::take(plan.memory_rounds, |kind| measure_memory(kind, max_connections))
    })?;
    let what = format!("us of CPU a second, {max_connections} idle connections");
    row(&what, "0 us", only, || Samples::take(1, |kind| measure_idle(kind, max_connections, plan)))
}

fn row(
    what: &str,
    goal: &str,
    only: &str,
    measure: impl FnOnce() -> io::Result<Samples>,
) -> io::Result<()> {
    if what.contains(only) {
        progress::show(what);
        let samples = measure()?;
        progress::show("");
        samples.print(what, goal);
    }
    Ok(())
}

fn measure_messages(connections: usize, size: usize, plan: CostPlan) -> io::Result<Samples> {
    let (ours, bare) = start_both()?;
    let mut of_ours = StreamClients::connect(ours.addr(), connections, size)?;
    let mut of_bare = StreamClients::connect(bare.addr(), connections, size)?;
    of_ours.round()?;
    of_bare.round()?;
    Samples::take(plan.rounds, |kind| {
        let (server, clients) = match kind {
            StreamServer::Ours => (&ours, &mut of_ours),
            StreamServer::Bare => (&bare, &mut of_bare),
        };
        let begin = Instant::now();
        let before = server.cpu()?;
        let mut messages = 0;
        while begin.elapsed() < plan.load {
            clients.round()?;
            messages += connections;
        }
        Ok((server.cpu()? - before) as f64 / messages as f64)
    })
}

fn measure_short(plan: CostPlan) -> io::Result<Samples> {
    let (ours, bare) = start_both()?;
    Samples::take(plan.rounds, |kind| {
        let server = if let StreamServer::Ours = kind { &ours } else { &bare };
        let before = server.cpu()?;
        load::short_connections(server.addr(), plan.short, 50)?;
        Ok((server.cpu()? - before) as f64 / plan.short as f64)
    })
}

fn measure_bulk(plan: CostPlan) -> io::Result<Samples> {
    let (ours, bare) = start_both()?;
    let of_ours = client::connect(ours.addr())?;
    let of_bare = client::connect(bare.addr())?;
    Samples::take(plan.rounds, |kind| {
        let (server, stream) =
            if let StreamServer::Ours = kind { (&ours, &of_ours) } else { (&bare, &of_bare) };
        let before = server.cpu()?;
        load::bulk(stream, plan.bulk)?;
        Ok((server.cpu()? - before) as f64 / 1e3 / (plan.bulk >> 20) as f64)
    })
}

fn measure_memory(kind: StreamServer, max_connections: usize) -> io::Result<f64> {
    let server = process::start(kind.role(), &[])?;
    // The first connection allocates what the server allocates once.
    StreamClients::connect(server.addr(), 1, 64)?.round()?;
    let before = server.memory()?;
    let mut clients = StreamClients::connect(server.addr(), max_connections, 64)?;
    clients.round()?;
    let memory = server.memory()?.saturating_sub(before);
    drop(clients);
    server.stop()?;
    Ok(memory as f64 / max_connections as f64)
}

fn measure_idle(kind: StreamServer, max_connections: usize, plan: CostPlan) -> io::Result<f64> {
    let server = process::start(kind.role(), &[])?;
    let mut clients = StreamClients::connect(server.addr(), max_connections, 64)?;
    clients.round()?;
    // The end of the last turn is part of the load.
    thread::sleep(Duration::from_millis(50));
    let before = server.cpu()?;
    thread::sleep(plan.idle);
    Ok((server.cpu()? - before) as f64 / 1e3 / plan.idle.as_secs_f64())
}

fn start_both() -> io::Result<(ServerProcess, ServerProcess)> {
    let start = |kind: StreamServer| process::start(kind.role(), &[]);
    Ok((start(StreamServer::Ours)?, start(StreamServer::Bare)?))
}

/// Measures ours and bare, in an order that alternates.
fn in_turn<T>(
    round: usize,
    mut take: impl FnMut(StreamServer) -> io::Result<T>,
) -> io::Result<(T, T)> {
    if round % 2 == 0 {
        let ours = take(StreamServer::Ours)?;
        Ok((ours, take(StreamServer::Bare)?))
    } else {
        let bare = take(StreamServer::Bare)?;
        Ok((take(StreamServer::Ours)?, bare))
    }
}

impl Samples {
    pub(crate) fn new(rounds: impl Iterator<Item = (f64, f64)>) -> Samples {
        Samples(rounds.collect())
    }

    fn take(
        rounds: usize,
        mut sample: impl FnMut(StreamServer) -> io::Result<f64>,
    ) -> io::Result<Samples> {
        let samples = (0..rounds).map(|round| in_turn(round, &mut sample));
        samples.collect::<io::Result<Vec<_>>>().map(Samples)
    }

    pub(crate) fn print(&self, what: &str, goal: &str) {
        let ours = min_median_max(self.0.iter().map(|(ours, _)| *ours));
        let bare = min_median_max(self.0.iter().map(|(_, bare)| *bare));
        let (least, ratio, most) = min_median_max(self.0.iter().map(|(ours, bare)| ours / bare));
        let ratios = if ratio.is_finite() {
            format!("{ratio:.3} [{least:.2}, {most:.2}]")
        } else {
            String::from("-")
        };
        println!("{what:<44} {:>9.0} {:>9.0}  {ratios:<22} {goal}", ours.1, bare.1);
    }
}

/// Returns minimum, median and maximum.
fn min_median_max(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    (values[0], values[values.len() / 2], values[values.len() - 1])
}
