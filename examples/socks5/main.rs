//! A SOCKS proxy, versions 5 (RFC 1928, 1929), 4 and 4a, on one port: `cargo run --example socks5
//! -- 127.0.0.1:1080`, then `curl --socks5-hostname 127.0.0.1:1080 http://example.org/`.
//!
//! The technique: a handshake, then a relay. The client's handler owns a [`socketserver::Relay`]
//! once the destination is known, and forwards every callback to it; the upstream's handler reports
//! the result of connecting and owns the other half. A thread of the library looks up names. Bytes
//! that a client sends directly after its request are queued in the upstream connection.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use socketserver::{Options, Server};

mod client;
mod handshake;
mod networks;
#[path = "../support/program.rs"]
mod program;
mod rules;
#[path = "../support/signals.rs"]
mod signals;
mod upstream;

use client::SocksClient;
use rules::{ProxyState, Rules};

const USAGE: &str = "usage: socks5 [options] [LISTEN_ADDR]

Listens on LISTEN_ADDR (default 127.0.0.1:1080) and connects clients to public addresses only.
With other addresses its clients could reach this machine and its private networks.

  --login USER:PASSWORD   accept SOCKS 5 clients with this login only (RFC 1929)
  --open                  listen on an address of other machines without --login (an open proxy)
  --allow-private         connect to this machine and to private networks too
  --only-loopback         connect to this machine only, also by name
  --max-clients N         refuse more clients than N (default 10000)
  --handshake-timeout S   close after S seconds without a complete request (default 10)
  --idle-timeout S        close after S seconds without a byte (default: never)
  --grace S               time for open connections at a shutdown in seconds (default 10)";

fn main() -> ExitCode {
    program::run(USAGE, usize::MAX, |words| {
        // A word that is not UTF-8 becomes its escaped form, which is neither an option nor an
        // address.
        let text = |word: OsString| word.into_string().unwrap_or_else(|word| format!("{word:?}"));
        let words = words.iter().cloned().map(text);
        let wrong = |culprit| io::Error::new(io::ErrorKind::InvalidInput, culprit);
        serve(Rules::parse(words).map_err(wrong)?)
    })
}

fn serve(rules: Rules) -> io::Result<()> {
    let options = Options { idle_timeout: rules.idle_timeout, ..Options::default() };
    let (listen, grace) = (rules.listen.clone(), rules.grace);
    let mut server = Server::with_shared(ProxyState { clients: 0, rules }, options)?;
    let listener = server.listen(listen, |_peer| SocksClient::default())?;
    server.set_verify_request(|proxy, _peer| proxy.clients < proxy.rules.max_clients);
    signals::stop_on_signals(&mut server, grace)?;
    if let Some(addr) = server.io().local_addr(listener) {
        if server.shared_mut().rules.is_open_by_accident(&addr) {
            let what = format!(
                "{addr} is reachable from other machines: add --login USER:PASSWORD or --open"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        // A closed standard output is no reason to stop.
        let _ = writeln!(io::stdout(), "listening tcp {addr}");
    }
    server.serve_forever()
}
