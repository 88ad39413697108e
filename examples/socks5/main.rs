//! A SOCKS proxy, versions 5 (RFC 1928, 1929), 4 and 4a, on one port: `cargo run --example socks5 --
//! 127.0.0.1:1080`, then `curl --socks5-hostname 127.0.0.1:1080 http://example.org/`.
//!
//! The technique: talk first, relay then. The handler of a client owns a [`socketserver::Relay`]
//! from the moment it knows where to, and passes every callback on; the handler of the other
//! connection says how connecting went and owns the other half. Names are looked up beside the loop.
//! What a client sends right behind its request waits in the other connection.

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

Listens on 127.0.0.1:1080 unless told otherwise, and connects clients to public addresses only:
otherwise whoever may use it would reach what this machine reaches, itself included.

  --login USER:PASSWORD   only SOCKS 5 clients who say so (RFC 1929)
  --open                  without --login, let others than this machine use it (an open proxy)
  --allow-private         connect to this machine and to private networks too
  --only-loopback         connect to this machine only, whatever a name says
  --max-clients N         refuse more than so many (default 10000)
  --handshake-timeout S   seconds until the target must be named (default 10)
  --idle-timeout S        seconds without a byte (default: for ever)
  --grace S               seconds a stop leaves for what is under way (default 10)";

fn main() -> ExitCode {
    program::run(USAGE, usize::MAX, |words| {
        // What is no text becomes a word that no option and no address is, with its odd bytes escaped.
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
            let what = format!("{addr} is open to others: add --login USER:PASSWORD, or --open");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        // Whoever does not read it is served all the same.
        let _ = writeln!(io::stdout(), "listening tcp {addr}");
    }
    server.serve_forever()
}
