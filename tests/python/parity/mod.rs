//! What Python's own tests ask of its `socketserver`, asked of ours: for each transport in each
//! mode. The names of the trials begin with the number of the behaviour (`b01` to `b27`, in the
//! order of `test_socketserver.py`); those without a number are what Python does not test.
//!
//! A process for each client needs a server that has one thread, and a test program has several. So
//! each trial starts this program again, as a server (`program.rs`), and is its client.

mod children;
mod client;
mod clients;
mod combination;
mod cut_off;
mod echo;
mod errors;
mod gate;
mod names;
mod obedient;
mod orders;
mod program;
mod settings;
mod signals;
mod started;
mod stopping;
mod writing;

/// What a trial starts this program for.
pub(crate) const SERVE: &str = started::SERVE;

pub(crate) fn serve(words: &[String]) {
    if let Err(error) = program::run(words) {
        println!("failed: {error}");
        std::process::exit(1);
    }
}

pub(crate) fn trials() -> Vec<libtest_mimic::Trial> {
    let all = [
        echo::trials(),
        stopping::stopping(),
        errors::errors(),
        writing::writing(),
        names::names(),
        clients::clients(),
        children::children(),
        signals::signals(),
    ];
    all.into_iter().flatten().collect()
}
