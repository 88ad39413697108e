//! What was typed behind `connect`, and what it means.

#![expect(clippy::doc_markdown, reason = "the comments here are the text of --help")]

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use socketserver::Addr;

use crate::args::{check_ip, check_path, usage};
use crate::units;

/// Connect to a server, and carry bytes both ways between it and the terminal, or a script.
///
/// What comes in is written to standard output as it comes; standard input is sent as it comes,
/// which on a terminal is line by line. No byte is changed.
///
/// TCP and Unix streams: the end of standard input (Ctrl-D) ends only that direction; what the
/// server still sends is written until it ends too. When the server ends first, a terminal's user
/// is let go at once; input from a file or a pipe is sent on until it ends, or pauses for --wait.
///
/// Datagrams: each line of standard input is one datagram, with its newline, as nc does it; one
/// longer than 65507 bytes is cut into several. What each datagram that comes holds is written as
/// it is. After the end of input, answers are awaited until none came for --wait.
///
/// Exit codes: 0 a clean end; 1 the server cannot be reached, the connection broke, or standard
/// input or output failed; 2 bad arguments; 130 Ctrl-C (143 SIGTERM), at once; 141 whoever read
/// standard output is gone, as it would be by SIGPIPE. Standard input and output that are closed
/// from the beginning count as /dev/null.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Connect {
    #[command(flatten)]
    target: Where,

    /// How long a connection may take to stand, the look-up of its name and all its addresses
    /// together; they are tried side by side, a quarter of a second apart
    #[arg(long, value_name = "DUR", value_parser = units::duration, default_value = "30s")]
    timeout: Duration,

    /// How long silence lasts until it is the end: of the answers after the last datagram, or of
    /// the input after the server's end
    #[arg(long, value_name = "DUR", value_parser = units::duration, default_value = "1s")]
    wait: Duration,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Where {
    /// HOST:PORT is TCP; a path with a slash, or unix:PATH, is a Unix stream
    #[arg(value_name = "ADDR")]
    addr: Option<OsString>,

    /// Connect to this TCP address, for example 127.0.0.1:7000, [::1]:7000 or localhost:7000
    #[arg(long, value_name = "ADDR", value_parser = NonEmptyStringValueParser::new())]
    tcp: Option<String>,

    /// Exchange datagrams with this UDP address
    #[arg(long, value_name = "ADDR", value_parser = NonEmptyStringValueParser::new())]
    udp: Option<String>,

    /// Connect to the Unix stream socket at this path
    #[arg(long, value_name = "PATH")]
    unix: Option<PathBuf>,

    /// Exchange datagrams with the Unix datagram socket at this path
    #[arg(long, value_name = "PATH")]
    unixgram: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  socketserver connect 127.0.0.1:7000
  socketserver connect /tmp/chat
  socketserver connect localhost:7000 < request > answer
  echo hello | socketserver connect --udp 127.0.0.1:7000 --wait 200ms";

/// What was asked for, checked.
#[derive(Debug)]
pub(crate) struct Config {
    pub(super) target: Target,
    pub(super) timeout: Duration,
    pub(super) wait: Duration,
}

#[derive(Debug, Eq, PartialEq)]
pub(super) enum Target {
    /// A name is looked up when it is connected to.
    Tcp(String),
    Udp(String),
    Unix(Addr),
    Unixgram(Addr),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Tcp(name) | Target::Udp(name) => f.write_str(name),
            Target::Unix(path) | Target::Unixgram(path) => path.fmt(f),
        }
    }
}

impl Connect {
    pub(crate) fn resolve(self) -> Result<Config, clap::Error> {
        Ok(Config { target: self.target.resolve()?, timeout: self.timeout, wait: self.wait })
    }
}

impl Where {
    fn resolve(self) -> Result<Target, clap::Error> {
        match self {
            Where { tcp: Some(addr), .. } => {
                check_port(&addr, "--tcp <ADDR>").map(|()| Target::Tcp(addr))
            }
            Where { udp: Some(addr), .. } => {
                check_port(&addr, "--udp <ADDR>").map(|()| Target::Udp(addr))
            }
            Where { unix: Some(path), .. } => check_path(path, "--unix <PATH>").map(Target::Unix),
            Where { unixgram: Some(path), .. } => {
                check_path(path, "--unixgram <PATH>").map(Target::Unixgram)
            }
            Where { addr, .. } => short(&addr.unwrap_or_default()),
        }
    }
}

/// The short form, in which the address itself tells the kind.
fn short(addr: &OsStr) -> Result<Target, clap::Error> {
    if let Some(path) = addr.to_str().and_then(|text| text.strip_prefix("unix:")) {
        return check_path(path.into(), "[ADDR]").map(Target::Unix);
    }
    if addr.as_encoded_bytes().contains(&b'/') {
        return check_path(addr.into(), "[ADDR]").map(Target::Unix);
    }
    let text = addr.to_str().ok_or_else(|| usage(&format!("{addr:?} is not UTF-8")))?;
    check_port(text, "[ADDR]").map(|()| Target::Tcp(text.into()))
}

/// Nobody can be reached at port 0.
fn check_port(addr: &str, option: &str) -> Result<(), clap::Error> {
    check_ip(addr, option)?;
    match addr.rsplit_once(':').map(|(_, port)| port.parse::<u16>()) {
        Some(Ok(0)) => {
            Err(usage(&format!("invalid value '{addr}' for '{option}': nobody is at port 0")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_form_tells_the_kind() {
        let unix = |path: &str| Target::Unix(Addr::Unix(path.into()));
        for (typed, meant) in [
            ("localhost:7000", Target::Tcp("localhost:7000".into())),
            ("[::1]:7000", Target::Tcp("[::1]:7000".into())),
            ("/tmp/chat", unix("/tmp/chat")),
            ("./chat", unix("./chat")),
            ("unix:chat", unix("chat")),
            ("unix:/tmp/chat", unix("/tmp/chat")),
        ] {
            assert_eq!(short(typed.as_ref()).ok(), Some(meant), "{typed}");
        }
        for typed in ["", "unix:", "chat", "localhost", "localhost:0", "localhost:http", ":7000"] {
            assert!(short(typed.as_ref()).is_err(), "{typed} passed");
        }
    }
}
