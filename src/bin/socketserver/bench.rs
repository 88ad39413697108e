//! `bench`: measures an echo server, ours or any other, and says honestly what came of it.
//!
//! This process starts what is needed, looks at the clock and at `/proc`, and prints. The load
//! comes from client processes ([`worker`]), one or as many as it takes to hold the connections, so
//! that nothing here disturbs what is measured.

pub(crate) mod args;
mod client;
pub(crate) mod client_process;
mod client_processes;
mod compare;
mod connection;
mod control;
mod counters;
mod errors;
mod histogram;
mod limits;
mod load;
mod measurement;
mod message;
mod output;
mod page;
mod phases;
mod probe;
mod process;
mod progress;
mod protocol;
mod record;
mod run;
mod scenario;
mod schedule;
mod senders;
mod servers;
mod strace;
mod svg_report;
mod text_report;
mod thread_usage;
mod timer;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::{console, terminal};
use args::{LoadPlan, Wanted};
use output::{OutputFile, is_stdout};
use record::RunRecord;

pub(crate) fn run(wanted: &Wanted) -> ExitCode {
    console::start_log();
    let outcome = match wanted {
        Wanted::Run(plan) => measure(plan),
        Wanted::Check(plan) => {
            let (text, is_well) = limits::check(plan, terminal::columns(io::stdout()));
            Ok(answer(&text, is_well))
        }
        Wanted::Compare(a, b) => compare(a, b),
    };
    outcome.unwrap_or_else(|error| {
        console::complain(&error);
        ExitCode::FAILURE
    })
}

/// Prints what came of it; the exit code says whether all went well.
fn answer(text: &str, is_well: bool) -> ExitCode {
    let code = if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    console::answer(text).err().unwrap_or(code)
}

fn measure(plan: &LoadPlan) -> io::Result<ExitCode> {
    let open = |path: &Option<PathBuf>| path.as_deref().map(OutputFile::open).transpose();
    let (json, report) = (open(&plan.json)?, open(&plan.report)?);
    let record = run::run(plan)?;
    let is_well = record.summary.errors == 0 && record.has_outcome();
    // Standard output is for one reader.
    let has_table = ![&plan.json, &plan.report].into_iter().flatten().any(|path| is_stdout(path));
    let table = if has_table {
        text_report::of(&record, terminal::columns(io::stdout()))
    } else {
        String::new()
    };
    let code = answer(&table, is_well);
    // Also when the table could not be written: a long run is not lost for that.
    if let Some(json) = json {
        json.write(&record.to_json()?)?;
    }
    if let Some(report) = report {
        report.write(svg_report::draw(&record)?.as_bytes())?;
    }
    Ok(code)
}

fn compare(a: &Path, b: &Path) -> io::Result<ExitCode> {
    let read = |path: &Path| RunRecord::read(path).map_err(|error| about(path, &error));
    let text = compare::of(&read(a)?, &read(b)?, terminal::columns(io::stdout()));
    Ok(answer(&text, true))
}

/// An error that names its file.
fn about(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", terminal::shown(path.as_os_str())))
}
