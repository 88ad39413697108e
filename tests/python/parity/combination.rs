//! Every transport in every mode: what Python has ten classes for.

use std::fmt;

use libtest_mimic::Trial;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Transport {
    Tcp,
    Udp,
    Unix,
    Unixgram,
    /// The same as the first two, over IPv6.
    Tcp6,
    Udp6,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    Inline,
    Threads,
    Processes,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Combination {
    pub(crate) transport: Transport,
    pub(crate) place: Place,
}

pub(crate) const TRANSPORTS: [Transport; 4] =
    [Transport::Tcp, Transport::Udp, Transport::Unix, Transport::Unixgram];

pub(crate) const PLACES: [Place; 3] = [Place::Inline, Place::Threads, Place::Processes];

/// Those in which the loop goes on while a handler is busy.
pub(crate) const ELSEWHERE: [Place; 2] = [Place::Threads, Place::Processes];

impl Transport {
    pub(crate) fn is_stream(self) -> bool {
        matches!(self, Transport::Tcp | Transport::Tcp6 | Transport::Unix)
    }

    pub(crate) fn is_unix(self) -> bool {
        matches!(self, Transport::Unix | Transport::Unixgram)
    }

    pub(crate) fn named(name: &str) -> Transport {
        let all = TRANSPORTS.into_iter().chain([Transport::Tcp6, Transport::Udp6]);
        all.into_iter().find(|one| one.to_string() == name).unwrap()
    }
}

impl Place {
    pub(crate) fn named(name: &str) -> Place {
        PLACES.into_iter().find(|one| one.to_string() == name).unwrap()
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", format!("{self:?}").to_lowercase())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", format!("{self:?}").to_lowercase())
    }
}

/// All twelve, in the order of Python's first twelve tests.
pub(crate) fn all() -> Vec<Combination> {
    let order = [Transport::Tcp, Transport::Unix, Transport::Udp, Transport::Unixgram];
    of(&order, &PLACES)
}

/// Every mode of the transports with connections.
pub(crate) fn streams(places: &[Place]) -> Vec<Combination> {
    of(&[Transport::Tcp, Transport::Unix], places)
}

pub(crate) fn datagrams(places: &[Place]) -> Vec<Combination> {
    of(&[Transport::Udp, Transport::Unixgram], places)
}

pub(crate) fn of(transports: &[Transport], places: &[Place]) -> Vec<Combination> {
    let each = |transport| places.iter().map(move |place| Combination { transport, place: *place });
    transports.iter().copied().flat_map(each).collect()
}

/// One trial for each combination; its name is that of the behaviour, with the combination.
pub(crate) fn trials(
    combinations: Vec<Combination>,
    number: &str,
    behaviour: &str,
    test: fn(Combination),
) -> Vec<Trial> {
    let trial = |it: Combination| {
        let name = format!("{number}_{}_{}_{behaviour}", it.transport, it.place);
        one(name, move || test(it))
    };
    combinations.into_iter().map(trial).collect()
}

pub(crate) fn one(name: impl Into<String>, test: impl FnOnce() + Send + 'static) -> Trial {
    let name = name.into();
    // There a wake from another thread may be lost in mio before the first wait.
    let is_ignored = cfg!(mio_unsupported_force_poll_poll) && name.starts_with("b13_");
    Trial::test(name, move || {
        test();
        Ok(())
    })
    .with_ignored_flag(is_ignored)
}
