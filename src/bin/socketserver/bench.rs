//! `bench`: measures an echo server, ours or any other, and says honestly what came of it.
//!
//! This process starts what is needed, looks at the clock and at `/proc`, and prints. The load
//! comes from client processes ([`worker`]), one or as many as it takes to hold the connections, so
//! that nothing here disturbs what is measured.

mod alarm;
pub(crate) mod args;
mod bars;
mod calls;
mod client;
mod compare;
mod crew;
mod fault;
mod limits;
mod load;
mod loops;
mod message;
mod order;
mod parent;
mod phases;
mod picture;
mod probe;
mod process;
mod progress;
mod record;
mod run;
mod schedule;
mod sending;
mod table;
mod talker;
mod tally;
mod target;
mod terms;
mod window;
pub(crate) mod worker;

use std::io;
use std::path::Path;
use std::process::ExitCode;

use crate::console;
use args::{Plan, Wanted};
use record::Record;

pub(crate) fn run(wanted: &Wanted) -> ExitCode {
    console::start_log();
    let outcome = match wanted {
        Wanted::Run(plan) => measure(plan),
        Wanted::Check(plan) => {
            let (text, is_well) = limits::check(plan);
            console::answer(&text);
            Ok(is_well)
        }
        Wanted::Compare(a, b) => compare(a, b),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            console::complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Whether all went well.
fn measure(plan: &Plan) -> io::Result<bool> {
    let record = run::run(plan)?;
    console::answer(&table::of(&record));
    if let Some(path) = &plan.json {
        record.write(path).map_err(|error| about(path, &error))?;
    }
    if let Some(path) = &plan.report {
        picture::draw(&record, path).map_err(|error| about(path, &error))?;
    }
    Ok(record.summary.errors == 0 && record.has_outcome())
}

fn compare(a: &Path, b: &Path) -> io::Result<bool> {
    let read = |path: &Path| Record::read(path).map_err(|error| about(path, &error));
    console::answer(&compare::of(&read(a)?, &read(b)?));
    Ok(true)
}

/// An error that names its file.
fn about(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
