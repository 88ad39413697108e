//! Every option of the command is heeded: one trial for each, which looks at a socket, at a process
//! or at a file, and falls when the option is taken and forgotten.
//!
//! `options.txt` names them all. A unit test of the command compares it with what clap knows, and
//! here every line needs its trial: so an option cannot be added without one.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop anywhere"
)]

#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
mod bench;
#[path = "../command/mod.rs"]
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
mod command;
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
mod connect;
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
mod serve;

/// They look into `/proc`.
#[cfg(not(all(target_os = "linux", not(mio_unsupported_force_poll_poll))))]
fn main() {}

#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
fn main() {
    use libtest_mimic::{Arguments, Trial};

    let named: Vec<&str> = include_str!("options.txt").lines().collect();
    let table = [serve::TRIALS, connect::TRIALS, bench::TRIALS].concat();
    let has_trial: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
    let mut trials = vec![Trial::test("every option has its trial", move || {
        assert_eq!(has_trial, named, "the trials, and the lines of options.txt");
        Ok(())
    })];
    trials.extend(table.into_iter().map(|(name, trial)| {
        Trial::test(name, move || {
            trial();
            Ok(())
        })
    }));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
