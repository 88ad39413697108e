//! All that is known after a run: what the table shows, and what a file keeps for later.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::counters::Counters;
use super::process::Kernel;
use super::scenario::{LoadMode, Scenario};
use super::thread_usage::{Had, LoopUse};

/// What a file says it is; other numbers cannot be read.
const VERSION: u32 = 1;

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct RunRecord {
    version: u32,
    /// The figures that a person looks for first; the rest of the file is what they come from.
    pub(crate) summary: Summary,
    pub(crate) terms: Scenario,
    pub(crate) target: String,
    /// How many servers of our own, and how many client processes.
    pub(crate) servers: usize,
    pub(crate) clients: usize,
    pub(crate) interrupted: bool,
    pub(crate) measured: Counters,
    /// The length of a sample.
    pub(crate) interval_ns: u64,
    pub(crate) server: Option<ServerUse>,
    /// How its work was spread, if it has several loops or threads.
    #[serde(default)]
    pub(crate) loops: Vec<LoopUse>,
    pub(crate) kernel: Option<KernelUse>,
    /// System calls of the server a message, by name, the most frequent first.
    pub(crate) syscalls: Option<Vec<(String, f64)>>,
    /// What could not be told, and why.
    pub(crate) notes: Vec<String>,
}

/// What the servers needed.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct ServerUse {
    /// Within the window.
    pub(crate) cpu_ns: u64,
    /// Resident, before there was a connection and at the end of the window.
    pub(crate) memory_before: u64,
    pub(crate) memory: u64,
}

/// What the kernel needed for both ends, before there was a connection and at the end.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct KernelUse {
    pub(crate) before: Kernel,
    pub(crate) after: Kernel,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Summary {
    pub(crate) messages_per_second: f64,
    /// Millions of bytes in each direction.
    pub(crate) megabytes_per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
    pub(crate) errors: u64,
    pub(crate) connects_per_second: f64,
    pub(crate) server_cpu_us_per_message: Option<f64>,
    pub(crate) client_cpu_us_per_message: Option<f64>,
    pub(crate) server_bytes_per_connection: Option<f64>,
    pub(crate) kernel_bytes_per_connection: Option<f64>,
    pub(crate) client_was_the_bottleneck: Option<bool>,
}

/// Two that differ by less need the same: the next run may have it the other way round.
const TIE: f64 = 1.05;

/// A client that uses more of a core than this has no time to wait for anybody.
const BUSY: f64 = 0.9;

impl RunRecord {
    pub(crate) fn new(terms: Scenario, target: String, measured: Counters) -> RunRecord {
        RunRecord {
            version: VERSION,
            summary: Summary::default(),
            interval_ns: terms.interval_ns(),
            terms,
            target,
            servers: 0,
            clients: 1,
            interrupted: false,
            measured,
            server: None,
            loops: Vec::new(),
            kernel: None,
            syscalls: None,
            notes: Vec::new(),
        }
    }

    /// Computes the figures, once all is known.
    pub(crate) fn sum_up(&mut self) {
        let RunRecord { terms, measured, .. } = self;
        let latencies = measured.histogram();
        let at = |quantile| real(latencies.value_at_quantile(quantile)) / 1e3;
        let seconds = real(measured.window_ns) / 1e9;
        let rate = if seconds > 0.0 { real(measured.messages) / seconds } else { 0.0 };
        let a_message = |cpu_ns: u64| {
            (measured.messages > 0).then(|| real(cpu_ns) / 1e3 / real(measured.messages))
        };
        let a_connection = |bytes: u64| {
            (measured.connected > 0 && terms.mode != LoadMode::Churn)
                .then(|| real(bytes) / real(measured.connected))
        };
        self.summary = Summary {
            messages_per_second: rate,
            megabytes_per_second: rate * real(terms.size as u64) / 1e6,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: real(latencies.max()) / 1e3,
            errors: measured.all_errors(),
            connects_per_second: match terms.mode {
                LoadMode::Churn if seconds > 0.0 => real(measured.exchanges) / seconds,
                LoadMode::Churn => 0.0,
                _ if measured.connect_ns == 0 => 0.0,
                _ => real(measured.connected) / (real(measured.connect_ns) / 1e9),
            },
            server_cpu_us_per_message: self.server.and_then(|one| a_message(one.cpu_ns)),
            client_cpu_us_per_message: measured.cpu_ns.and_then(a_message),
            server_bytes_per_connection: self
                .server
                .and_then(|one| a_connection(one.memory.saturating_sub(one.memory_before))),
            kernel_bytes_per_connection: self.kernel.and_then(|kernel| {
                a_connection(kernel.after.all().saturating_sub(kernel.before.all()))
            }),
            client_was_the_bottleneck: self.client_was_the_bottleneck(),
        };
    }

    /// Whether anything was measured at all.
    pub(crate) fn has_outcome(&self) -> bool {
        let Counters { window_ns, messages, latencies, .. } = &self.measured;
        let has_answers = *messages > 0 || !latencies.is_empty();
        *window_ns > 0 && (has_answers || self.terms.mode == LoadMode::Idle)
    }

    /// `None` when the CPU time of the client is not known.
    fn client_was_the_bottleneck(&self) -> Option<bool> {
        self.measured.cpu_ns?;
        if self.terms.mode == LoadMode::Idle || !self.has_outcome() {
            return Some(false);
        }
        Some(self.measured.busiest > BUSY || self.client_needed_more())
    }

    /// Whether the client clearly needed more CPU time than the server.
    pub(crate) fn client_needed_more(&self) -> bool {
        // At a given rate neither side is driven to its limit, so there the larger share means nothing.
        if matches!(self.terms.mode, LoadMode::Open { .. }) {
            return false;
        }
        let (Some(client), Some(server)) = (self.measured.cpu_ns, self.server) else {
            return false;
        };
        real(client) > real(server.cpu_ns) * TIE
    }

    /// Adds what the servers have counted of each of their loops.
    pub(crate) fn note_loops(&mut self, had: Vec<Had>) {
        // Where nothing is known about CPU times, or not about all loops, they cannot be matched.
        if had.len() == self.loops.len() {
            for (one, had) in self.loops.iter_mut().zip(had) {
                one.had = Some(had);
            }
        }
    }

    pub(crate) fn to_json(&self) -> io::Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(text)
    }

    pub(crate) fn read(path: &Path) -> io::Result<RunRecord> {
        let record: RunRecord = serde_json::from_slice(&std::fs::read(path)?)?;
        if record.version != VERSION {
            let what = format!("version {} is not known here", record.version);
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Ok(record)
    }
}

impl Kernel {
    pub(crate) fn all(self) -> u64 {
        self.slab + self.buffers
    }
}

/// Counts are told and divided, never added up, in this form.
#[expect(clippy::cast_precision_loss, reason = "nobody needs the sixteenth digit")]
pub(crate) fn real(n: u64) -> f64 {
    n as f64
}
