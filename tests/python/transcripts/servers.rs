//! Who is asked: every mode of ours, and Python's.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use libtest_mimic::Trial;

use super::client::{Step, Transcript, Transport, play};
use super::table::{self, Case, Service};
use crate::command::{Server, bin};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Asked {
    /// `socketserver serve SERVICE ...` with these words.
    Command(&'static [&'static str]),
    /// The program in `own.rs`, in this mode.
    Own(&'static str),
    /// `services.py`, in this mode.
    Python(&'static str),
}

const OF_COMMAND: &[Asked] = &[
    Asked::Command(&[]),
    Asked::Command(&["--workers", "threads:8"]),
    Asked::Command(&["--workers", "processes:8"]),
    Asked::Command(&["--loops", "2"]),
    Asked::Own("inline"),
];
const OF_OWN: &[Asked] = &[
    Asked::Own("reactor"),
    Asked::Own("loops"),
    Asked::Own("inline"),
    Asked::Own("threads"),
    Asked::Own("processes"),
];
const PYTHON: &[Asked] =
    &[Asked::Python("plain"), Asked::Python("threads"), Asked::Python("processes")];

/// With those of Python's servers, or without them.
pub(crate) fn trials(python: bool) -> Vec<Trial> {
    let mut trials = Vec::new();
    for service in table::services() {
        for (transports, is_stream) in [(Transport::STREAMS, true), (Transport::PACKETS, false)] {
            let cases = if is_stream { &service.streams } else { &service.packets };
            for &transport in transports.iter().filter(|_| !cases.is_empty()) {
                let everybody = if service.is_of_command { OF_COMMAND } else { OF_OWN };
                for &asked in everybody.iter().chain(if python { PYTHON } else { &[] }) {
                    if service.name == "chargen" && matches!(asked, Asked::Own(_)) {
                        continue;
                    }
                    if transport == Transport::Unixgram && asked.has_two_loops() {
                        // Such a socket has one queue, which one loop reads.
                        continue;
                    }
                    trials.push(trial(service, transport, asked));
                }
            }
        }
    }
    if python {
        trials.push(Trial::test(
            "an error is a line of the log here and a traceback there",
            || {
                errors_are_told();
                Ok(())
            },
        ));
    }
    trials
}

fn trial(service: &'static Service, transport: Transport, asked: Asked) -> Trial {
    let name = format!("{} {} {}", service.name, transport.name(), asked.name());
    Trial::test(name, move || {
        asked.must_say_the_same(service, transport);
        Ok(())
    })
}

impl Asked {
    fn has_two_loops(self) -> bool {
        matches!(self, Asked::Command(["--loops", _]) | Asked::Own("loops"))
    }

    fn name(self) -> String {
        match self {
            Asked::Command([]) => "reactor".into(),
            Asked::Command(words) => words.join(" ").trim_start_matches('-').into(),
            Asked::Own(mode) => format!("own {mode}"),
            Asked::Python(mode) => format!("python {mode}"),
        }
    }

    fn must_say_the_same(self, service: &Service, transport: Transport) {
        let dir = tempfile::tempdir().unwrap();
        let (mut server, addr) = self.start(service.name, transport, dir.path());
        let is_stream = Transport::STREAMS.contains(&transport);
        let cases = if is_stream { &service.streams } else { &service.packets };
        for case in cases {
            self.play(case, transport, &addr, dir.path());
        }
        assert!(server.child.try_wait().unwrap().is_none(), "it still runs");
        if let Asked::Command(_) = self {
            server.stop();
        }
    }

    /// A server, and its address.
    fn start(self, service: &str, transport: Transport, dir: &Path) -> (Server, String) {
        let path = dir.join("server");
        let addr = match transport {
            Transport::Tcp | Transport::Udp => "127.0.0.1:0",
            Transport::Unix | Transport::Unixgram => path.to_str().unwrap(),
        };
        let mut server = Server::of(self.command(service, transport, addr).stderr(Stdio::piped()));
        let line = server.line();
        let mut log = server.child.stderr.take().unwrap();
        let prefix = format!("listening {} ", transport.name());
        let Some(addr) = line.strip_prefix(&prefix) else {
            let mut text = String::new();
            log.read_to_string(&mut text).unwrap();
            panic!("{line:?} {text}");
        };
        // Somebody has to read what Python has to say.
        thread::spawn(move || log.read_to_end(&mut Vec::new()));
        (server, addr.to_string())
    }

    fn command(self, service: &str, transport: Transport, addr: &str) -> Command {
        match self {
            Asked::Command(words) => {
                let mut command = bin();
                command.args(["serve", service, &format!("--{}", transport.name()), addr]);
                command.args(words);
                command
            }
            Asked::Own(mode) => {
                let mut command = Command::new(std::env::current_exe().unwrap());
                command.args(["own", service, mode, transport.name(), addr]);
                command.env("RUST_BACKTRACE", "0");
                command
            }
            Asked::Python(mode) => {
                let program = Path::new(env!("CARGO_MANIFEST_DIR"));
                let mut command = Command::new("python3");
                command.arg(program.join("../../../tests/python/transcripts/services.py"));
                command.args([service, mode, transport.name(), addr]);
                command
            }
        }
    }

    fn play(self, case: &Case, transport: Transport, addr: &str, dir: &Path) {
        let mut clients: Vec<(&[Step], &Transcript)> =
            case.clients.iter().map(|(steps, heard)| (&steps[..], heard)).collect();
        let known = table::differences();
        let known = known.iter().find(|known| known.case == case.name);
        let mut why = "";
        if let (Asked::Python(_), Some(known)) = (self, known) {
            assert_ne!(&known.client.1, clients[0].1, "it is no difference");
            clients = vec![(&known.client.0, &known.client.1)];
            why = known.reason;
        }
        let own = dir.join(case.name.replace(' ', "-"));
        fs::create_dir(&own).unwrap();
        thread::scope(|scope| {
            for (nth, (steps, expected)) in clients.into_iter().enumerate() {
                let own = own.join(nth.to_string());
                scope.spawn(move || {
                    let heard = play(transport, addr, &own, steps);
                    assert_eq!(&heard, expected, "{}, client {nth}; {why}", case.name);
                });
            }
        });
    }
}

/// Our handlers' errors are one line a second at most; Python's are told each with a traceback.
fn errors_are_told() {
    for (asked, is_python) in [(Asked::Own("threads"), false), (Asked::Python("threads"), true)] {
        let mut command = asked.command("faulty", Transport::Tcp, "127.0.0.1:0");
        let mut server = Server::of(command.env("RUST_LOG", "warn").stderr(Stdio::piped()));
        let addr = server.tcp_addr();
        let faulty = table::services().iter().find(|service| service.name == "faulty");
        let dir = tempfile::tempdir().unwrap();
        asked.play(&faulty.expect("it is listed").streams[0], Transport::Tcp, &addr, dir.path());
        // Its line was written before the connection ended, or very soon after.
        let mut log = server.child.stderr.take().unwrap();
        let mut text = Vec::new();
        let mut byte = [0];
        while !String::from_utf8_lossy(&text).contains("it was asked to") {
            log.read_exact(&mut byte).unwrap();
            text.push(byte[0]);
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        assert_eq!(text.contains("Traceback"), is_python, "{text}");
        assert_eq!(text.contains("a handler failed"), !is_python, "{text}");
        assert_eq!(text.lines().count() == 1, !is_python, "{text}");
    }
}
