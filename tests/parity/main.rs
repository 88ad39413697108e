//! What Python's own tests ask of its `socketserver`, asked of ours: for each transport in each
//! mode. The names of the trials begin with the number of the behaviour (`b01` to `b27`, in the
//! order of `test_socketserver.py`); those without a number are what Python does not test.
//!
//! A process for each client needs a server that has one thread, and a test program has several. So
//! each trial starts this program again, as a server (`program.rs`), and is its client.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what fails here is the test"
)]

#[cfg(unix)]
mod client;
#[cfg(unix)]
mod clients;
#[cfg(unix)]
mod combination;
#[cfg(unix)]
mod cut_off;
#[cfg(unix)]
mod echo;
#[cfg(unix)]
mod errors;
#[cfg(unix)]
mod gate;
#[cfg(unix)]
mod names;
#[cfg(unix)]
mod obedient;
#[cfg(unix)]
mod orders;
#[cfg(unix)]
mod program;
#[cfg(unix)]
mod settings;
#[cfg(unix)]
mod signals;
#[cfg(unix)]
mod started;
#[cfg(unix)]
mod stopping;
#[cfg(unix)]
mod writing;

#[cfg(unix)]
fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [first, rest @ ..] if first == started::SERVE => serve(rest),
        _ => libtest_mimic::run(&libtest_mimic::Arguments::from_args(), trials()).exit(),
    }
}

#[cfg(unix)]
fn serve(words: &[String]) {
    if let Err(error) = program::run(words) {
        println!("failed: {error}");
        std::process::exit(1);
    }
}

#[cfg(unix)]
fn trials() -> Vec<libtest_mimic::Trial> {
    let all = [
        echo::trials(),
        stopping::stopping(),
        errors::errors(),
        writing::writing(),
        names::names(),
        clients::clients(),
        signals::signals(),
    ];
    all.into_iter().flatten().collect()
}

#[cfg(not(unix))]
fn main() {}
