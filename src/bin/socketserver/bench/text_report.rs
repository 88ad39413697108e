//! The outcome of a run as text.

use super::histogram;
use super::limits;
use super::page::Page;
use super::record::{RunRecord, real};
use super::scenario::LoadMode;
use super::thread_usage::LoopUse;

/// Everything that is printed on standard output.
pub(crate) fn of(record: &RunRecord, columns: Option<usize>) -> String {
    let mut table = Page::new(columns);
    table.line(&record.terms.to_string());
    table.line(&target(record));
    if record.interrupted {
        let seconds = real(record.measured.window_ns) / 1e9;
        table.line(&format!("Broken off after {seconds:.1} s of the measurement."));
    }
    table.line("");
    rows_of_load(record, &mut table);
    rows_of_latency(record, &mut table);
    rows_of_connections(record, &mut table);
    rows_of_server(record, &mut table);
    rows_of_loops(record, &mut table);
    rows_of_errors(record, &mut table);
    for note in &record.notes {
        table.line(note);
    }
    if shows_latency(record) {
        table.line("");
        histogram::draw(&record.measured.histogram(), &mut table);
    }
    verdict(record, &mut table);
    table.text
}

/// Loops that are told one by one.
const MOST_ROWS: usize = 16;

/// Who was driven, by whom, and on what.
pub(crate) fn target(record: &RunRecord) -> String {
    let processes = |n: usize| if n == 1 { "1 process".into() } else { format!("{n} processes") };
    let servers = match record.servers {
        0 => record.target.clone(),
        n => format!("our own echo server ({}), {}", processes(n), record.target),
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{servers}; client: {}; {cores} cores for all", processes(record.clients))
}

fn shows_latency(record: &RunRecord) -> bool {
    !matches!(record.terms.mode, LoadMode::Bulk) && !record.measured.latencies.is_empty()
}

fn rows_of_load(record: &RunRecord, table: &mut Page) {
    let summary = &record.summary;
    if matches!(record.terms.mode, LoadMode::Idle) {
        let all = record.terms.connections;
        let verified = record.measured.verified;
        let lost = u64::from(all).saturating_sub(verified);
        table.row_with(
            "asked and verified",
            &count(real(verified)),
            &format!("of {}", count(f64::from(all))),
        );
        table.row("lost", &count(real(lost)));
        return;
    }
    table.row("messages/s", &count(summary.messages_per_second));
    table.row("MB/s, each way", &format!("{:.1}", summary.megabytes_per_second));
}

fn rows_of_latency(record: &RunRecord, table: &mut Page) {
    if !shows_latency(record) {
        return;
    }
    let summary = &record.summary;
    let more = match record.terms.mode {
        LoadMode::Open { .. } => "from when it was to be sent",
        LoadMode::Churn => "from connect to the whole answer",
        _ => "",
    };
    table.row_with("latency p50", &time(summary.p50_us), more);
    table.row("latency p90", &time(summary.p90_us));
    table.row("latency p99", &time(summary.p99_us));
    table.row("latency p99.9", &time(summary.p999_us));
    table.row("latency max", &time(summary.max_us));
}

fn rows_of_connections(record: &RunRecord, table: &mut Page) {
    let measured = &record.measured;
    let mut more = String::new();
    if record.terms.mode != LoadMode::Churn {
        let seconds = real(measured.connect_ns) / 1e9;
        more = format!("{} in {seconds:.3} s", count(real(measured.connected)));
    }
    if !record.terms.transport.is_datagram() || record.terms.mode == LoadMode::Churn {
        table.row_with("connects/s", &count(record.summary.connects_per_second), &more);
    }
}

fn rows_of_server(record: &RunRecord, table: &mut Page) {
    let (summary, window) = (&record.summary, record.measured.window_ns);
    if let Some(server) = record.server {
        cpu_row("server CPU", server.cpu_ns, window, summary.server_cpu_us_per_message, table);
    }
    if let Some(cpu) = record.measured.cpu_ns {
        cpu_row("client CPU", cpu, window, summary.client_cpu_us_per_message, table);
    }
    if let Some(server) = record.server {
        let more = match summary.server_bytes_per_connection {
            Some(each) => format!("{} a connection", bytes(each)),
            None => String::new(),
        };
        table.row_with("server memory", &bytes(real(server.memory)), &more);
    }
    if let (Some(kernel), Some(each)) = (record.kernel, summary.kernel_bytes_per_connection) {
        let grown = kernel.after.all().saturating_sub(kernel.before.all());
        let more = format!("{} a connection, both ends", bytes(each));
        table.row_with("kernel memory", &bytes(real(grown)), &more);
    }
    if let Some(calls) = &record.syscalls {
        let all: f64 = calls.iter().map(|(_, n)| n).sum();
        let named = calls.iter().take(4).map(|(name, n)| format!("{name} {n:.2}"));
        let named = named.collect::<Vec<_>>().join(", ");
        table.row_with("system calls a message", &format!("{all:.2}"), &named);
    }
}

/// How the work was spread; of many loops only between what they lie.
fn rows_of_loops(record: &RunRecord, table: &mut Page) {
    let window = record.measured.window_ns;
    let row = |name: &str, one: &LoopUse, table: &mut Page| {
        let share = one.share * 100.0;
        let of_core = super::process::share(one.cpu_ns, window) * 100.0;
        let had = match one.had {
            Some(had) if record.terms.transport.is_datagram() => had.packets,
            Some(had) => had.connections,
            None => return table.row(name, &format!("{share:.1} % of CPU")),
        };
        let what = if record.terms.transport.is_datagram() { "datagrams" } else { "connections" };
        let more = format!("{what}, {share:.1} % of CPU, {of_core:.0} % of a core");
        table.row_with(name, &count(real(had)), &more);
    };
    if record.loops.len() <= MOST_ROWS {
        for one in &record.loops {
            row(&format!("  {}", one.name), one, table);
        }
        return;
    }
    let by_cpu = |one: &&LoopUse| one.cpu_ns;
    let (least, most) =
        (record.loops.iter().min_by_key(by_cpu), record.loops.iter().max_by_key(by_cpu));
    for (name, one) in [("  least busy loop", least), ("  busiest loop", most)] {
        if let Some(one) = one {
            row(name, one, table);
        }
    }
}

fn cpu_row(name: &str, cpu_ns: u64, window_ns: u64, each: Option<f64>, table: &mut Page) {
    let share = super::process::share(cpu_ns, window_ns) * 100.0;
    let more = match each {
        Some(each) => format!("{share:.0} % of a core, {each:.2} us a message"),
        None => format!("{share:.0} % of a core"),
    };
    table.row_with(name, &format!("{:.3} s", real(cpu_ns) / 1e9), &more);
}

fn rows_of_errors(record: &RunRecord, table: &mut Page) {
    let measured = &record.measured;
    if record.terms.transport.is_datagram() {
        table.row_with("datagrams lost", &count(real(measured.lost)), "and sent again");
    }
    table.row("errors", &count(real(record.summary.errors)));
    for (kind, n) in &measured.errors {
        table.row(&format!("  {kind}"), &count(real(*n)));
    }
    for cure in measured.errors.keys().filter_map(|kind| limits::cure(kind, &record.terms)) {
        table.line(&cure);
    }
}

fn verdict(record: &RunRecord, table: &mut Page) {
    if record.measured.window_ns == 0 {
        return table.line("Nothing was measured: no connection lasted until the measurement.");
    }
    if !record.has_outcome() {
        return table.line("No answer came within the measurement; give it a longer --duration.");
    }
    let cpu = record.measured.cpu_ns.unwrap_or(0);
    let share = super::process::share(cpu, record.measured.window_ns);
    match record.summary.client_was_the_bottleneck {
        Some(true) => {
            table.line("");
            table.line(&format!(
                "The client was the bottleneck: it used {:.0} % of a core{}.",
                share * 100.0,
                if record.client_needed_more() { ", and more than the server" } else { "" }
            ));
            table.line("The server could do more than this; no winner is declared.");
        }
        Some(false) => {}
        None => table.line("Nothing is known here about the CPU time of the client."),
    }
}

/// `1,234,567`, or `12.3` when it is small.
pub(crate) fn count(n: f64) -> String {
    if n < 100.0 && n.fract() != 0.0 {
        return format!("{n:.1}");
    }
    let digits = format!("{n:.0}");
    let mut text = String::new();
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Microseconds in the unit that suits them.
pub(crate) fn time(us: f64) -> String {
    match us {
        us if us >= 1e6 => format!("{:.2} s", us / 1e6),
        us if us >= 1e3 => format!("{:.2} ms", us / 1e3),
        us if us >= 1e2 => format!("{us:.1} us"),
        us => format!("{us:.2} us"),
    }
}

pub(crate) fn bytes(n: f64) -> String {
    match n {
        n if n >= 1e9 => format!("{:.2} GB", n / 1e9),
        n if n >= 1e6 => format!("{:.1} MB", n / 1e6),
        n if n >= 1e4 => format!("{:.1} kB", n / 1e3),
        n => format!("{n:.0} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(count(1_234_567.0), "1,234,567");
        assert_eq!(
            (count(7.25), count(99.0), count(999.9)),
            ("7.2".into(), "99".into(), "1,000".into())
        );
        assert_eq!((time(1_500.0), time(12.34)), ("1.50 ms".into(), "12.34 us".into()));
        assert_eq!((bytes(123.0), bytes(2.5e6)), ("123 B".into(), "2.5 MB".into()));
    }
}
