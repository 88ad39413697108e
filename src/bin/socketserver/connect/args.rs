//! What was typed behind `connect`, and what it means.

#![expect(clippy::doc_markdown, reason = "the comments here are the text of --help")]

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use socketserver::{Addr, ToAddrs};

use crate::args::{check_ip, check_path, usage};
use crate::terminal::shown;
use crate::units;

/// Connect to a server, and carry bytes both ways between it and the terminal, or a script.
///
/// What comes in is written to standard output as it comes; standard input is sent as it comes,
/// which on a terminal is line by line. No byte is changed.
///
/// TCP and Unix streams: the end of standard input (Ctrl-D) ends only that direction (nc -N); what
/// the server still sends is written until it ends too. Input that ends before it gave one byte says
/// nothing, and many servers leave when they see an end: /dev/null is no input at all (as with -d),
/// and the end of an empty pipe or file is told once the server was silent for --wait. When the
/// server ends first, a terminal's user is let go at once; input from a file or a pipe is sent on
/// until it ends, or pauses for --wait.
///
/// Datagrams: each line of standard input is one datagram, with its newline, as nc does it; one
/// longer than 65507 bytes is cut into several. What each datagram that comes holds is written as
/// it is. After the end of input, answers are awaited until none came for --wait. Who expects none
/// says --wait 0s.
///
/// Exit codes: 0 a clean end; 1 the server cannot be reached, the connection broke, fewer datagrams
/// came than were sent, or standard input or output failed; 2 bad arguments; 130 Ctrl-C (143
/// SIGTERM, 129 SIGHUP), at once; 141 the reader of standard output is gone, as it would be by
/// SIGPIPE. Standard input and output that are closed
/// from the beginning count as /dev/null.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, override_usage = USAGE)]
pub(crate) struct ConnectArgs {
    #[command(flatten)]
    target: TargetArgs,

    /// How long a connection may take to stand, the look-up of its name and all its addresses
    /// together, which are tried side by side [default: 30s]; if it is given, then also how long the
    /// server may take nothing of what is sent, and (over TCP) how long it may have vanished; either
    /// may take three times as long to be noticed [default: as long as the system tries]
    #[arg(long, value_name = "DUR", value_parser = units::duration)]
    timeout: Option<Duration>,

    /// How long silence lasts until it is the end: of the answers after the last datagram, of the
    /// input after the server's end, or of the server after an input without a byte
    #[arg(long, value_name = "DUR", value_parser = units::duration_or_none, default_value = "1s")]
    wait: Duration,

    /// Do not tell the server that standard input has ended: it may leave at that (nc without -N)
    #[arg(long, conflicts_with_all = ["udp", "unixgram"])]
    no_half_close: bool,

    /// Read nothing from standard input, and write what comes until the server ends (nc -d)
    #[arg(short = 'd', long, conflicts_with_all = ["udp", "unixgram"])]
    no_stdin: bool,
}

#[derive(Args, Debug)]
struct TargetArgs {
    /// HOST:PORT is TCP, and so is HOST PORT in two words, as nc takes it; a path with a slash,
    /// unix:PATH, or @NAME (on Linux), is a Unix stream
    #[arg(value_name = "ADDR", required_unless_present_any = ["tcp", "udp", "unix", "unixgram"])]
    addr: Option<OsString>,

    /// The port, apart from its host; that of --tcp HOST and --udp HOST may stand apart too
    #[arg(value_name = "PORT", requires = "addr")]
    port: Option<String>,

    /// Connect to this TCP address, for example 127.0.0.1:7000, [::1]:7000 or localhost:7000
    #[arg(long, value_name = "ADDR", value_parser = NonEmptyStringValueParser::new(), group = "kind")]
    tcp: Option<String>,

    /// Exchange datagrams with this UDP address
    #[arg(long, value_name = "ADDR", value_parser = NonEmptyStringValueParser::new(), group = "kind")]
    udp: Option<String>,

    /// Connect to the Unix stream socket at this path
    #[arg(long, value_name = "PATH", group = "kind", conflicts_with_all = ["addr", "port"])]
    unix: Option<OsString>,

    /// Exchange datagrams with the Unix datagram socket at this path
    #[arg(long, value_name = "PATH", group = "kind", conflicts_with_all = ["addr", "port"])]
    unixgram: Option<OsString>,
}

const USAGE: &str = "\
socketserver connect [OPTIONS] <ADDR>
       socketserver connect [OPTIONS] [--tcp | --udp] <HOST> <PORT>
       socketserver connect [OPTIONS] --tcp <ADDR> | --udp <ADDR>
       socketserver connect [OPTIONS] --unix <PATH> | --unixgram <PATH>";

const EXAMPLES: &str = "\
Examples:
  socketserver connect 127.0.0.1:7000
  socketserver connect /tmp/chat
  socketserver connect localhost 7000 < request > answer
  socketserver connect -d localhost:7000 > everything
  echo hello | socketserver connect --udp 127.0.0.1:7000 --wait 200ms
  echo hello | socketserver connect --udp localhost 7000";

/// What was asked for, checked.
#[derive(Debug)]
pub(crate) struct ConnectConfig {
    pub(super) target: ConnectTo,
    /// Of connecting.
    pub(super) connect_timeout: Duration,
    /// Of a peer that takes nothing; as long as the system tries if there is none.
    pub(super) stall_timeout: Option<Duration>,
    pub(super) wait: Duration,
    pub(super) half_close: bool,
    pub(super) reads_input: bool,
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, Eq, PartialEq)]
pub(super) enum ConnectTo {
    /// A name is looked up when it is connected to.
    Tcp(String),
    Udp(String),
    Unix(Addr),
    Unixgram(Addr),
}

impl fmt::Display for ConnectTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectTo::Tcp(name) | ConnectTo::Udp(name) => f.write_str(name),
            ConnectTo::Unix(path) | ConnectTo::Unixgram(path) => path.fmt(f),
        }
    }
}

impl ConnectArgs {
    pub(crate) fn resolve(self) -> Result<ConnectConfig, clap::Error> {
        Ok(ConnectConfig {
            target: self.target.resolve()?,
            connect_timeout: self.timeout.unwrap_or(CONNECT_TIMEOUT),
            stall_timeout: self.timeout,
            wait: self.wait,
            half_close: !self.no_half_close,
            reads_input: !self.no_stdin,
        })
    }
}

impl TargetArgs {
    fn resolve(self) -> Result<ConnectTo, clap::Error> {
        let words = (self.addr.as_deref(), self.port.as_deref());
        match self {
            TargetArgs { tcp: Some(host), .. } => {
                ip(host, words, "--tcp <ADDR>").map(ConnectTo::Tcp)
            }
            TargetArgs { udp: Some(host), .. } => {
                ip(host, words, "--udp <ADDR>").map(ConnectTo::Udp)
            }
            TargetArgs { unix: Some(path), .. } => {
                check_path(&path, "--unix <PATH>").map(ConnectTo::Unix)
            }
            TargetArgs { unixgram: Some(path), .. } => {
                check_path(&path, "--unixgram <PATH>").map(ConnectTo::Unixgram)
            }
            TargetArgs { addr, port, .. } => {
                let addr = addr.unwrap_or_default();
                match port {
                    Some(port) => apart(&addr, &port, "[ADDR] [PORT]").map(ConnectTo::Tcp),
                    None => short(&addr),
                }
            }
        }
    }
}

/// What an option names, with the words that are no options: the port may be one of them.
fn ip(
    host: String,
    words: (Option<&OsStr>, Option<&str>),
    option: &str,
) -> Result<String, clap::Error> {
    match words {
        (None, _) => check_port(&host, option).map(|()| host),
        (Some(port), None) => {
            let what = || usage(&format!("invalid value {port:?} for '[PORT]': it is not UTF-8"));
            apart(host.as_ref(), port.to_str().ok_or_else(what)?, option)
        }
        (Some(addr), Some(_)) => {
            let addr = shown(addr);
            Err(usage(&format!("'{addr}' is one word too many: '{option}' names the host")))
        }
    }
}

/// The short form, in which the address itself tells the kind.
fn short(addr: &OsStr) -> Result<ConnectTo, clap::Error> {
    if addr.as_encoded_bytes().starts_with(b"unix:") {
        // The library reads it, so that every byte of a path is taken as it is.
        let addrs = addr.to_addrs();
        let wrong =
            |error| usage(&format!("invalid value '{}' for '[ADDR]': {error}", shown(addr)));
        return addrs.map_err(wrong).and_then(|mut addrs| match addrs.pop() {
            Some(addr) => Ok(ConnectTo::Unix(addr)),
            None => Err(wrong(std::io::ErrorKind::InvalidInput.into())),
        });
    }
    if addr.as_encoded_bytes().starts_with(b"@") || addr.as_encoded_bytes().contains(&b'/') {
        return check_path(addr, "[ADDR]").map(ConnectTo::Unix);
    }
    let text = addr.to_str().ok_or_else(|| usage(&format!("{addr:?} is not UTF-8")))?;
    check_port(text, "[ADDR]").map(|()| ConnectTo::Tcp(text.into()))
}

/// A host and its port in two words, as nc takes them; an IPv6 address needs no brackets then.
fn apart(host: &OsStr, port: &str, option: &str) -> Result<String, clap::Error> {
    let wrong =
        |why: &str| usage(&format!("invalid value '{}' for '{option}': {why}", shown(host)));
    let bytes = host.as_encoded_bytes();
    if bytes.contains(&b'/') || bytes.starts_with(b"unix:") || bytes.starts_with(b"@") {
        return Err(wrong("a Unix socket has no port"));
    }
    let Some(host) = host.to_str() else { return Err(wrong("it is not UTF-8")) };
    let colons = host.bytes().filter(|byte| *byte == b':').count();
    let addr = match colons {
        0 => format!("{host}:{port}"),
        1 => {
            let what = format!("it has a port already, and {port} is one more; leave one out");
            return Err(wrong(&what));
        }
        _ if host.starts_with('[') => format!("{host}:{port}"),
        _ => format!("[{host}]:{port}"),
    };
    check_port(&addr, option).map(|()| addr)
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
        let unix = |path: &str| ConnectTo::Unix(Addr::Unix(path.into()));
        for (typed, meant) in [
            ("localhost:7000", ConnectTo::Tcp("localhost:7000".into())),
            ("[::1]:7000", ConnectTo::Tcp("[::1]:7000".into())),
            ("/tmp/chat", unix("/tmp/chat")),
            ("./chat", unix("./chat")),
            ("unix:chat", unix("chat")),
            ("unix:/tmp/chat", unix("/tmp/chat")),
            ("@chat", ConnectTo::Unix(Addr::unix("@chat"))),
            ("unix:@chat", ConnectTo::Unix(Addr::unix("@chat"))),
            ("./@chat", unix("./@chat")),
        ] {
            assert_eq!(short(typed.as_ref()).ok(), Some(meant), "{typed}");
        }
        for typed in ["", "unix:", "chat", "localhost", "localhost:0", "localhost:http", ":7000"] {
            assert!(short(typed.as_ref()).is_err(), "{typed} passed");
        }
    }

    #[test]
    fn a_port_may_stand_apart() {
        for (host, meant) in [
            ("localhost", "localhost:7000"),
            ("127.0.0.1", "127.0.0.1:7000"),
            ("::1", "[::1]:7000"),
            ("[::1]", "[::1]:7000"),
        ] {
            let addr = apart(host.as_ref(), "7000", "[ADDR]");
            assert_eq!(addr.ok(), Some(meant.into()), "{host}");
        }
        for (host, port) in [
            ("localhost:7000", "7000"),
            ("/tmp/chat", "7000"),
            ("unix:chat", "7000"),
            ("@chat", "7000"),
            ("localhost", "0"),
            ("localhost", "http"),
            ("localhost", ""),
            ("", "7000"),
            ("::nope", "7000"),
        ] {
            assert!(apart(host.as_ref(), port, "[ADDR]").is_err(), "{host} {port} passed");
        }
    }
}
