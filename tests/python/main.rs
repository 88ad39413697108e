//! Beside Python's `socketserver`: its own tests asked of ours, transcripts of both, and the programs of
//! the documents from which this project began.
//!
//! A process for each client needs a server that has one thread, and a test program has several. So
//! trials start this program again, as a server.

#![allow(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop anywhere"
)]

// A read that a signal does not end.
#[path = "../support/read_some.rs"]
mod read_some;
// How tests wait.
#[cfg(unix)]
#[path = "../support/waits.rs"]
mod waits;
// The built command, and what drives it.
#[cfg(unix)]
#[path = "../support/command.rs"]
mod command;

// What Python's own tests ask, asked of ours.
#[cfg(unix)]
mod parity;
// Unchanged programs talk to ours.
#[cfg(target_os = "linux")]
mod seeds;
// The same clients hear the same, byte for byte.
#[cfg(unix)]
mod transcripts;

#[cfg(not(unix))]
fn main() {
    println!("skipped: it needs Unix sockets and processes");
}

#[cfg(unix)]
fn main() {
    use libtest_mimic::Arguments;

    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [first, rest @ ..] if first == parity::SERVE => parity::serve(rest),
        [first, rest @ ..] if first == "own" => {
            let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
            let error = transcripts::serve(&rest).expect_err("it serves for ever");
            panic!("{error}");
        }
        _ => {
            let arguments = Arguments::from_args();
            let trials = trials(&arguments);
            libtest_mimic::run(&arguments, trials).exit();
        }
    }
}

#[cfg(unix)]
fn trials(arguments: &libtest_mimic::Arguments) -> Vec<libtest_mimic::Trial> {
    // Looked for once, and only where it is wanted: the message comes before the results.
    let python = arguments.list || command::has("python3");
    let mut trials = parity::trials();
    trials.extend(transcripts::trials(python));
    #[cfg(target_os = "linux")]
    trials.extend(seeds::TRIALS.iter().map(|&(name, trial)| {
        libtest_mimic::Trial::test(name, move || {
            trial();
            Ok(())
        })
    }));
    trials
}
