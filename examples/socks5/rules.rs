//! What was typed, and what all clients share.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use socketserver::{Addr, Connect};

use super::handshake::Target;

/// What the command line said.
pub(crate) struct Rules {
    pub(crate) listen: String,
    /// `USER:PASSWORD`, if clients must say so.
    pub(crate) login: Option<String>,
    pub(crate) only_loopback: bool,
    pub(crate) max_clients: usize,
    pub(crate) handshake_timeout: Duration,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) grace: Duration,
}

/// What all clients share.
pub(crate) struct Proxy {
    pub(crate) rules: Rules,
    pub(crate) clients: usize,
}

impl Rules {
    /// An error names the culprit.
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Rules, String> {
        let mut listen = None;
        let mut rules = Rules {
            listen: String::new(),
            login: None,
            only_loopback: false,
            max_clients: 10_000,
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: None,
            grace: Duration::from_secs(10),
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--login" => {
                    let login = value()?;
                    if !login.contains(':') {
                        return Err(format!("--login: no colon in {login:?}"));
                    }
                    rules.login = Some(login);
                }
                "--only-loopback" => rules.only_loopback = true,
                "--max-clients" => rules.max_clients = number(&word, &value()?)?,
                "--handshake-timeout" => rules.handshake_timeout = seconds(&word, &value()?)?,
                "--idle-timeout" => rules.idle_timeout = Some(seconds(&word, &value()?)?),
                "--grace" => rules.grace = seconds(&word, &value()?)?,
                _ if word.starts_with('-') => return Err(format!("unknown option {word}")),
                _ if listen.is_some() => return Err(format!("one address too many: {word}")),
                _ => listen = Some(word),
            }
        }
        rules.listen = listen.ok_or("an address to listen on is missing")?;
        Ok(rules)
    }

    /// The connection that a client asks for.
    pub(crate) fn connect_to(&self, target: &Target) -> std::io::Result<Connect> {
        let connect = match target {
            Target::Ip(addr) => Connect::to(*addr)?,
            Target::Name(name, port) => Connect::to_name(format!("{name}:{port}")),
        };
        Ok(if self.only_loopback { connect.only(is_loopback) } else { connect })
    }
}

fn is_loopback(addr: &Addr) -> bool {
    addr.ip().is_some_and(|addr| addr.ip().to_canonical().is_loopback())
}

fn seconds(option: &str, word: &str) -> Result<Duration, String> {
    let seconds = number(option, word)?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| format!("{option}: {word} is no time"))
}

fn number<T: FromStr<Err: Display>>(option: &str, word: &str) -> Result<T, String> {
    word.parse().map_err(|error| format!("{option} {word}: {error}"))
}
