//! A started server program, as the test sees it.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use super::client::Client;
use super::combination::{Combination, Transport};
use crate::command::default_signals;
pub(crate) use crate::waits::{PATIENCE, until};

/// The first word that makes this test program a server.
pub(crate) const SERVE: &str = "serve";

/// It is killed when the test ends.
pub(crate) struct Started {
    child: Child,
    orders: UnixStream,
    lines: Receiver<String>,
    pub(crate) combination: Combination,
    pub(crate) address: String,
    pub(crate) directory: tempfile::TempDir,
}

impl Started {
    /// Starts the program; there is no server yet.
    pub(crate) fn program(combination: Combination, words: &[&str]) -> Started {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("server").display().to_string();
        let address = match combination.transport {
            Transport::Tcp | Transport::Udp => "127.0.0.1:0",
            Transport::Tcp6 | Transport::Udp6 => "[::1]:0",
            Transport::Unix | Transport::Unixgram => &path,
        };
        let (orders, stdin) = UnixStream::pair().unwrap();
        default_signals();
        let mut child = Command::new(env::current_exe().unwrap())
            .args([SERVE, &combination.transport.to_string(), &combination.place.to_string()])
            .arg(address)
            .args(words)
            .stdin(OwnedFd::from(stdin))
            .stdout(Stdio::piped())
            // Handlers panic as they are told; what goes wrong shows in what does not come.
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let address = address.to_string();
        Started { child, orders, lines, combination, address, directory }
    }

    /// Starts the program with a server that does not run yet.
    pub(crate) fn open(combination: Combination, words: &[&str]) -> Started {
        let mut started = Started::program(combination, words);
        started.order("open");
        let line = started.line();
        started.address = line.strip_prefix("address ").expect(&line).to_string();
        started
    }

    /// Starts the program with a server that runs.
    pub(crate) fn running(combination: Combination, words: &[&str]) -> Started {
        let mut started = Started::open(combination, words);
        started.order("run");
        started
    }

    pub(crate) fn order(&mut self, order: &str) {
        // In one piece: the program takes what it gets for whole lines.
        self.orders.write_all(format!("{order}\n").as_bytes()).unwrap();
    }

    /// What it says next.
    #[track_caller]
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("it says nothing more")
    }

    #[track_caller]
    pub(crate) fn expect(&self, line: &str) {
        assert_eq!(self.line(), line);
    }

    /// Gives an order, and what is said in answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, order: &str) -> String {
        self.order(order);
        self.line()
    }

    /// Asks until this is the answer.
    #[track_caller]
    pub(crate) fn ask_until(&mut self, order: &str, answer: &str) {
        until(&format!("{order} says {answer}"), || self.ask(order) == answer);
    }

    /// Has a running server stop, with all the time it may need.
    #[track_caller]
    pub(crate) fn stop(&mut self) {
        assert_eq!(self.ask("stop 60000"), "stopped, forced 0");
    }

    /// Has the server stop, close and leave, and looks for what it may have left behind.
    #[track_caller]
    pub(crate) fn end_clean(mut self) {
        self.stop();
        self.leave_clean();
    }

    /// The same once it has stopped.
    #[track_caller]
    pub(crate) fn leave_clean(mut self) {
        assert_eq!(self.ask("close"), "closed");
        if let Some(sockets) = self.sockets() {
            assert_eq!(sockets, 1, "nothing is left but standard input");
        }
        assert_eq!(self.ask("children"), "no children");
        self.leave();
    }

    /// Has the program end, which must be its own decision.
    #[track_caller]
    pub(crate) fn leave(mut self) {
        self.order("end");
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
        assert_eq!(self.lines.try_iter().collect::<Vec<_>>(), Vec::<String>::new());
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.combination.transport, &self.address)
    }

    /// One line there and back.
    #[track_caller]
    pub(crate) fn echo(&self, message: &str) {
        assert_eq!(self.client().ask(message), message);
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// The sockets that it has open, where the system tells.
    pub(crate) fn sockets(&self) -> Option<usize> {
        let entries = fs::read_dir(format!("/proc/{}/fd", self.pid())).ok()?;
        let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        let names = links.map(|link| link.to_string_lossy().into_owned());
        let sockets: BTreeSet<String> = names.filter(|name| name.starts_with("socket:")).collect();
        Some(sockets.len())
    }

    /// The threads that it has, where the system tells.
    pub(crate) fn threads(&self) -> Option<usize> {
        fs::read_dir(format!("/proc/{}/task", self.pid())).ok().map(Iterator::count)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It fails when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
