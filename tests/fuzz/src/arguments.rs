//! Arguments: no words bring the command down, who is refused is told why, and whatever is accepted
//! can be served.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use socketserver::{Options, Server};

use crate::args::addresses::form_of_ip;
use crate::args::{ListenerArg, ServeConfig, Task, Typed};
use crate::bench::args::Wanted;
use crate::console::LastWords;

/// What one byte above 127 stands for, so that the words need not be found out letter by letter.
const WORDS: [&str; 72] = [
    "serve",
    "connect",
    "bench",
    "bench-client",
    "help",
    "echo",
    "discard",
    "chargen",
    "daytime",
    "time",
    "upper",
    "chat",
    "--tcp",
    "--udp",
    "--unix",
    "--unixgram",
    "127.0.0.1:7000",
    "[::1]:0",
    "localhost:80",
    "/tmp/x",
    "unix:x",
    "--max-connections",
    "--idle-timeout",
    "--high-water",
    "--max-line",
    "--grace",
    "--busy-poll",
    "--loops",
    "--balance",
    "--counters",
    "--workers",
    "threads:2",
    "processes:2",
    "kernel",
    "fewest",
    "1",
    "2",
    "0",
    "4294967295",
    "500ms",
    "2s",
    "1m",
    "1000000000years",
    "64KiB",
    "1MiB",
    "15EiB",
    "18446744073709551614",
    "--timeout",
    "--wait",
    "--connections",
    "-c",
    "--pipeline",
    "--size",
    "--rate",
    "0.5",
    "1e7",
    "--churn",
    "--idle",
    "--bulk",
    "--warmup",
    "--duration",
    "--clients",
    "--json",
    "--report",
    "--syscalls",
    "--check",
    "--compare",
    "--transport",
    "unixgram",
    "--pid",
    "--help",
    "--version",
];

pub fn run(data: &[u8]) {
    // A word a line.
    let typed = data.split(|byte| *byte == b'\n').map(|word| match word {
        [nth] if *nth >= 128 => WORDS[usize::from(nth - 128) % WORDS.len()].into(),
        word => OsString::from_vec(word.to_vec()),
    });
    let words: Vec<OsString> = ["socketserver".into()].into_iter().chain(typed).collect();
    match read(&words) {
        Ok(task) => is_possible(&task, &words),
        Err(why) => is_told(&why, &words),
    }
}

fn read(words: &[OsString]) -> Result<Task, LastWords> {
    Typed::read(words.iter().cloned()).and_then(Typed::resolve)
}

fn is_told(why: &LastWords, words: &[OsString]) {
    assert!(!why.text().trim().is_empty());
    let asks = |word: &OsString| {
        let word = word.to_string_lossy();
        word == "help"
            || word.starts_with("--h")
            || word.starts_with("--v")
            || word.starts_with('-')
    };
    match why.code() {
        2 => assert!(words.len() < 3 || why.text().contains("rror"), "{}", why.text()),
        0 => assert!(words.iter().any(asks), "{words:?}"),
        code => panic!("code {code}: {}", why.text()),
    }
}

fn is_possible(task: &Task, words: &[OsString]) {
    match task {
        Task::Serve(config) => can_be_served(config),
        Task::Connect(config) => {
            let shown = format!("{config:?}");
            assert!(!shown.contains("timeout: 0ns"), "{shown}");
        }
        Task::Bench(Wanted::Run(plan) | Wanted::Check(plan)) => {
            let terms = &plan.terms;
            assert!(terms.connections > 0 && terms.size > 0);
            assert!(terms.warmup_ns > 0 && terms.duration_ns > 0);
            assert!(plan.clients.is_none_or(|n| n > 0 && n <= terms.connections));
        }
        Task::Bench(Wanted::Compare(..)) => {
            assert!(words.iter().any(|word| word.to_string_lossy().starts_with("--compare")));
        }
        Task::BenchClient(_) => {}
    }
    // What was typed means the same again.
    let again = read(words).unwrap_or_else(|why| panic!("refused now: {}", why.text()));
    assert_eq!(format!("{task:?}"), format!("{again:?}"));
}

fn can_be_served(config: &ServeConfig) {
    assert!(!config.listeners.is_empty() && config.loops > 0);
    assert!(!config.grace.is_zero());
    for listener in &config.listeners {
        if let ListenerArg::Tcp(addr) | ListenerArg::Udp(addr) = listener {
            assert_eq!(form_of_ip(addr), Ok(()));
        }
    }
    let options = &config.options;
    assert!(options.input_limit > config.max_line || config.max_line == usize::MAX);
    // The buffer cannot be asked for, and would be filled with zeros each time.
    let options = Options { read_buffer: 1, ..options.clone() };
    let mut server = Server::with_shared((), options).expect("the library refuses these options");
    // A grace for which the clock has no number is one that never ends.
    let report = server.shutdown(config.grace).expect("nobody is there");
    assert_eq!(report.forced, 0);
}
