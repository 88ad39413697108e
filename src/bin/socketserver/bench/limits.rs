//! The limits of the system that a run may meet, and the line that raises each of them.

use std::ffi::OsString;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};

use super::args::LoadPlan;
use super::errors;
use super::page::Page;
use super::record::real;
use super::scenario::{LoadMode, Scenario, SocketKind};
use super::servers::Servers;
use super::text_report::{bytes, count};
use crate::system;

/// What a connection over loopback costs the kernel for both ends: measured by `bench --idle 1000000`
/// (README.md, "Measured").
const KERNEL_BYTES: u64 = 10_100;

/// Descriptors of a process that are no connections.
const OTHER_DESCRIPTORS: u64 = 1_000;

/// One limit beside what a run needs of it.
struct Limit {
    name: &'static str,
    needs: u64,
    has: u64,
    unit: Unit,
    cure: String,
}

#[derive(Clone, Copy)]
enum Unit {
    Count,
    Bytes,
}

/// The text of `--check`, and whether all is well.
pub(crate) fn check(plan: &LoadPlan, columns: Option<usize>) -> (String, bool) {
    let mut page = Page::new(columns);
    page.line(&plan.terms.to_string());
    let mut all_well = true;
    for limit in limits(plan) {
        let shown = |n| match limit.unit {
            Unit::Count => count(real(n)),
            Unit::Bytes => bytes(real(n)),
        };
        let is_well = limit.needs <= limit.has;
        all_well &= is_well;
        let verdict = if is_well { "ok".to_string() } else { format!("too few: {}", limit.cure) };
        let (needs, has) = (shown(limit.needs), shown(limit.has));
        let name = limit.name;
        let wide = format!("{name:<28}needs {needs:>11}, has {has:>13}  {verdict}");
        page.wide_or(&wide, name, &format!("needs {needs}, has {has}: {verdict}"));
    }
    (page.text, all_well)
}

fn limits(plan: &LoadPlan) -> Vec<Limit> {
    let all = [
        descriptors(plan),
        backlog(plan),
        unix_queue(&plan.terms),
        memory(&plan.terms),
        tracked(&plan.terms).into_iter().collect(),
    ];
    all.into_iter().flatten().collect()
}

/// A limit, if the system says what it has.
fn limit(
    name: &'static str,
    needs: u64,
    has: Option<u64>,
    unit: Unit,
    cure: impl Into<String>,
) -> Option<Limit> {
    has.map(|has| Limit { name, needs, has, unit, cure: cure.into() })
}

fn clients(plan: &LoadPlan) -> u64 {
    plan.clients.map_or_else(|| processes(plan.terms.connections.into()), u64::from)
}

fn descriptors(plan: &LoadPlan) -> Vec<Limit> {
    let all = u64::from(plan.terms.connections);
    let each = all.div_ceil(clients(plan)) + 50;
    let ends = if plan.target.is_none() { 2 } else { 1 };
    let most = system::most_descriptors();
    let of_process =
        limit("descriptors of a process", each, most, Unit::Count, descriptors_cure(each));
    let of_system = limit(
        "descriptors of the system",
        all * ends + 10_000,
        number("/proc/sys/fs/file-max"),
        Unit::Count,
        format!("sysctl -w fs.file-max={}", all * 4),
    );
    of_process.into_iter().chain(of_system).collect()
}

/// What clients that connect at the same moment need.
fn backlog(plan: &LoadPlan) -> Vec<Limit> {
    let terms = &plan.terms;
    let mut limits = Vec::new();
    if !terms.transport.is_datagram() {
        let servers = servers(terms);
        let of_ours = servers.processes * servers.addrs_each;
        let entrances = if plan.target.is_none() { of_ours } else { 1 };
        let opening = clients(plan) * super::load::MOST_OPENING as u64;
        let opening = opening.min(terms.connections.into()).div_ceil(entrances.max(1) as u64);
        let has = number("/proc/sys/net/core/somaxconn");
        limits.extend(limit("backlog", opening, has, Unit::Count, BACKLOG_CURE));
    }
    if terms.transport == SocketKind::Tcp {
        let needs = ports_needed(plan);
        limits.extend(limit("local ports", needs, ports(), Unit::Count, PORTS_CURE));
    }
    limits
}

fn unix_queue(terms: &Scenario) -> Vec<Limit> {
    if terms.transport != SocketKind::Unixgram {
        return Vec::new();
    }
    let pipeline =
        if let LoadMode::Closed { pipeline } = terms.mode { u64::from(pipeline) } else { 1 };
    let needs = u64::from(terms.connections) * pipeline;
    let has = number("/proc/sys/net/unix/max_dgram_qlen");
    let cure = format!("sysctl -w net.unix.max_dgram_qlen={needs}");
    limit("queue of a Unix socket", needs, has, Unit::Count, cure).into_iter().collect()
}

fn memory(terms: &Scenario) -> Vec<Limit> {
    let all = u64::from(terms.connections);
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let has = super::process::kilobytes(&meminfo, "MemAvailable:");
    let fewer = "fewer connections";
    let mut limits = Vec::new();
    limits.extend(limit("memory for sockets", all * KERNEL_BYTES, has, Unit::Bytes, fewer));
    if terms.transport == SocketKind::Tcp {
        // Idle sockets have no pages in buffers; each that talks has one or two for a moment.
        let talking = if terms.mode == LoadMode::Idle { 512 } else { all };
        let pages = tcp_pages().map(|pages| pages * 4_096);
        let needs = talking * 2 * 4_096;
        limits.extend(limit("memory for TCP buffers", needs, pages, Unit::Bytes, TCP_CURE));
    }
    limits
}

fn tracked(terms: &Scenario) -> Option<Limit> {
    let all = u64::from(terms.connections);
    let max = number("/proc/sys/net/netfilter/nf_conntrack_max");
    let has = max.filter(|_| terms.transport.is_ip() && is_tracked());
    let cure = format!("sysctl -w net.netfilter.nf_conntrack_max={}", all * 2);
    limit("connections tracked", all, has, Unit::Count, cure)
}

const TCP_CURE: &str = "sysctl -w net.ipv4.tcp_mem=\"1000000 2000000 4000000\"";
const BACKLOG_CURE: &str = "sysctl -w net.core.somaxconn=65535";
const PORTS_CURE: &str = "sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"";

fn descriptors_cure(needed: u64) -> String {
    format!("ulimit -n {}", needed.max(1 << 20))
}

/// How many processes it takes to hold this number of connections.
pub(crate) fn processes(connections: u64) -> u64 {
    connections.div_ceil(most_of_a_process()).max(1)
}

/// The connections that one process may hold: what the system gives, but for some others.
fn most_of_a_process() -> u64 {
    let most = system::most_descriptors().unwrap_or(1_024).min(1 << 20);
    most.saturating_sub(OTHER_DESCRIPTORS).max(most / 2).max(1)
}

/// Our own servers for such a run.
pub(crate) fn servers(terms: &Scenario) -> Servers {
    let all = u64::from(terms.connections);
    let processes = processes(all);
    let addrs = if terms.transport == SocketKind::Tcp {
        all.div_ceil(processes).div_ceil(CONNECTIONS_OF_AN_ADDRESS)
    } else {
        1
    };
    let number = |n: u64| usize::try_from(n).unwrap_or(1);
    Servers { processes: number(processes), addrs_each: number(addrs) }
}

/// More connections between the same two addresses are slow to make: the system tries one local
/// port after the other until it finds a free one.
const CONNECTIONS_OF_AN_ADDRESS: u64 = 4_000;

/// Ports of one source address towards one server.
fn ports_needed(plan: &LoadPlan) -> u64 {
    let all = u64::from(plan.terms.connections);
    match plan.target {
        Some(_) => all.div_ceil(sources(plan).len().max(1) as u64),
        None => all.min(CONNECTIONS_OF_AN_ADDRESS),
    }
}

/// Where connections come from when one address has too few ports for them; only on loopback are
/// all addresses ours. None of them means: wherever the system likes.
pub(crate) fn sources(plan: &LoadPlan) -> Vec<IpAddr> {
    let is_loopback = |addr: &OsString| {
        addr.to_str()
            .and_then(|addr| addr.rsplit_once(':'))
            .and_then(|(host, _)| host.parse::<Ipv4Addr>().ok())
            .is_some_and(|host| host.is_loopback())
    };
    if plan.terms.transport != SocketKind::Tcp || !plan.target.as_ref().is_some_and(is_loopback) {
        return Vec::new();
    }
    let each = ports().unwrap_or(0).clamp(1, CONNECTIONS_OF_AN_ADDRESS);
    let sources = u64::from(plan.terms.connections).div_ceil(each);
    if sources < 2 {
        return Vec::new();
    }
    let first = u32::from(Ipv4Addr::LOCALHOST);
    let last = first.saturating_add(u32::try_from(sources).unwrap_or(u32::MAX));
    (first..last.min(MOST_SOURCES)).map(|addr| Ipv4Addr::from(addr).into()).collect()
}

/// 127.255.255.255 is for broadcasts.
const MOST_SOURCES: u32 = 0x7FFF_FFFF;

fn ports() -> Option<u64> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut range = range.split_whitespace().map(str::parse::<u64>);
    let (low, high) = (range.next()?.ok()?, range.next()?.ok()?);
    Some((high + 1).saturating_sub(low))
}

fn tcp_pages() -> Option<u64> {
    let pages = fs::read_to_string("/proc/sys/net/ipv4/tcp_mem").ok()?;
    pages.split_whitespace().nth(2)?.parse().ok()
}

/// Whether the system tracks connections: it may be able to and have no reason.
fn is_tracked() -> bool {
    let tracked = || number("/proc/sys/net/netfilter/nf_conntrack_count").unwrap_or(0);
    let Ok(listener) = TcpListener::bind("127.0.0.1:0") else { return true };
    let _client = listener.local_addr().and_then(TcpStream::connect);
    tracked() > 0
}

fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// What to do about errors of this kind, if a limit is behind them.
pub(crate) fn cure(kind: &str, terms: &Scenario) -> Option<String> {
    let all = u64::from(terms.connections);
    let cure = match kind {
        errors::NO_DESCRIPTOR => descriptors_cure(all),
        errors::NO_PORT => PORTS_CURE.into(),
        errors::BACKLOG_FULL => BACKLOG_CURE.into(),
        errors::NO_MEMORY => "sysctl -w net.ipv4.tcp_mem=\"1000000 2000000 4000000\"".into(),
        _ => return None,
    };
    Some(format!("the limit is the system's; try `{cure}`"))
}
