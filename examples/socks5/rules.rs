//! The options of the command line, and the state shared by all clients.

use std::fmt::Display;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use socketserver::{Addr, Connect};

use super::handshake::SocksTarget;
use super::networks;

/// The options of the command line.
pub(crate) struct Rules {
    pub(crate) listen: String,
    /// Whether `listen` may be reachable from other machines without a login.
    pub(crate) open: bool,
    /// `USER:PASSWORD`, if clients must log in.
    pub(crate) login: Option<String>,
    pub(crate) allowed_targets: AllowedTargets,
    pub(crate) max_clients: usize,
    pub(crate) handshake_timeout: Duration,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) grace: Duration,
}

/// Which addresses clients may connect to, also by name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AllowedTargets {
    /// Globally reachable addresses only.
    Public,
    /// Also this machine and private networks.
    Anywhere,
    Loopback,
}

/// The state shared by all clients.
pub(crate) struct ProxyState {
    pub(crate) rules: Rules,
    pub(crate) clients: usize,
}

impl Rules {
    /// Parses the arguments. An error names the wrong one.
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Rules, String> {
        let mut listen = None;
        let mut rules = Rules {
            listen: "127.0.0.1:1080".into(),
            open: false,
            login: None,
            allowed_targets: AllowedTargets::Public,
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
                "--open" => rules.open = true,
                "--allow-private" => rules.allowed_targets = AllowedTargets::Anywhere,
                "--only-loopback" => rules.allowed_targets = AllowedTargets::Loopback,
                "--max-clients" => rules.max_clients = clients(&word, &value()?)?,
                "--handshake-timeout" => rules.handshake_timeout = seconds(&word, &value()?)?,
                "--idle-timeout" => rules.idle_timeout = Some(seconds(&word, &value()?)?),
                "--grace" => rules.grace = seconds(&word, &value()?)?,
                _ if word.starts_with('-') => return Err(format!("unknown option {word}")),
                _ if listen.is_some() => return Err(format!("more than one address: {word}")),
                _ => listen = Some(word),
            }
        }
        rules.listen = listen.unwrap_or(rules.listen);
        Ok(rules)
    }

    /// Returns the connection to a client's destination.
    pub(crate) fn connect_to(&self, target: &SocksTarget) -> std::io::Result<Connect> {
        let connect = match target {
            SocksTarget::Ip(addr) => Connect::to(*addr)?,
            SocksTarget::Name(name, port) => Connect::to_name(format!("{name}:{port}")),
        };
        // Applied to each address that a name resolves to.
        Ok(connect.allow_if(match self.allowed_targets {
            AllowedTargets::Public => |addr| ip(addr).is_some_and(networks::is_public),
            AllowedTargets::Anywhere => |addr| ip(addr).is_some(),
            AllowedTargets::Loopback => |addr| ip(addr).is_some_and(|ip| ip.is_loopback()),
        }))
    }

    /// Whether other machines can reach `listens` without a login and without `--open`.
    pub(crate) fn is_open_by_accident(&self, listens: &Addr) -> bool {
        let is_for_others =
            listens.ip().is_some_and(|addr| !addr.ip().to_canonical().is_loopback());
        is_for_others && self.login.is_none() && !self.open
    }
}

/// `None` for a Unix socket.
fn ip(addr: &Addr) -> Option<IpAddr> {
    addr.ip().map(|addr| addr.ip().to_canonical())
}

fn seconds(option: &str, word: &str) -> Result<Duration, String> {
    let seconds = number(option, word)?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| format!("{option}: {word} is not a positive number of seconds"))
}

fn clients(option: &str, word: &str) -> Result<usize, String> {
    match number(option, word)? {
        0 => Err(format!("{option} must be 1 or more")),
        clients => Ok(clients),
    }
}

fn number<T: FromStr<Err: Display>>(option: &str, word: &str) -> Result<T, String> {
    word.parse().map_err(|error| format!("{option} {word}: {error}"))
}
