//! What the server program is told on its command line.

use std::path::PathBuf;
use std::time::Duration;

use super::combination::{Combination, Place, Transport};

/// `TRANSPORT PLACE ADDRESS [NAME=VALUE ...]`
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) combination: Combination,
    pub(crate) address: String,
    /// Handlers that may be busy at once.
    pub(crate) places: usize,
    pub(crate) timeout: Option<Duration>,
    /// So many clients are refused before one is let in.
    pub(crate) refuse: u32,
    /// `setup` or `finish`: the step of each handler that fails.
    pub(crate) fails_in: Option<String>,
    /// Whether handlers tell of their steps.
    pub(crate) notes: bool,
    /// Whether there is a hook for errors, which tells of them.
    pub(crate) hook: bool,
    pub(crate) detach: bool,
    /// Whether there is a hook for each new process, which tells of it.
    pub(crate) after_fork: bool,
    /// Whether SIGINT and SIGTERM stop the server, in the way of the guide.
    pub(crate) heeds: bool,
    /// Whether that holds for children too.
    pub(crate) inherits: bool,
    /// The path of a file that each handler has while it is there.
    pub(crate) owns: Option<PathBuf>,
    /// Descriptors that the program may have.
    pub(crate) descriptors: Option<u32>,
}

impl Settings {
    pub(crate) fn parse(words: &[String]) -> Settings {
        let [transport, place, address, rest @ ..] = words else { panic!("{words:?}") };
        let combination =
            Combination { transport: Transport::named(transport), place: Place::named(place) };
        let mut settings = Settings {
            combination,
            address: address.clone(),
            places: 40,
            timeout: None,
            refuse: 0,
            fails_in: None,
            notes: false,
            hook: false,
            detach: false,
            after_fork: false,
            heeds: false,
            inherits: false,
            owns: None,
            descriptors: None,
        };
        for word in rest {
            settings.set(word);
        }
        settings
    }

    fn set(&mut self, word: &str) {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name {
            "places" => self.places = value.parse().unwrap(),
            "timeout" => self.timeout = Some(Duration::from_millis(value.parse().unwrap())),
            "refuse" => self.refuse = value.parse().unwrap(),
            "fails_in" => self.fails_in = Some(value.to_string()),
            "notes" => self.notes = true,
            "hook" => self.hook = true,
            "detach" => self.detach = true,
            "after_fork" => self.after_fork = true,
            "heeds" => self.heeds = true,
            "inherits" => self.inherits = true,
            "owns" => self.owns = Some(value.into()),
            "descriptors" => self.descriptors = Some(value.parse().unwrap()),
            _ => panic!("{word}"),
        }
    }
}
