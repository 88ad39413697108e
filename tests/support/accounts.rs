//! What a server says at its end of every connection and every byte, read from its log.

#![allow(dead_code, clippy::unwrap_used, reason = "tests may stop, and not all use all of this")]

use std::collections::BTreeMap;

/// Gives the words `RUST_LOG` needs for the line with the counters.
pub(crate) const LOG: &str = "warn,socketserver=info";

/// The counters of one server, all its loops together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accounts(BTreeMap<String, u64>);

impl Accounts {
    /// `None` when the server did not come to the end of a run.
    pub(crate) fn of_log(log: &str) -> Option<Accounts> {
        let mut all = Accounts::default();
        let mut found = false;
        for line in log.lines().filter(|line| line.contains("stopped: ")) {
            let (_, rest) = line.split_once("ShutdownReport {")?;
            let (report, stats) = rest.split_once("}, Stats {")?;
            let (fields, ended) = stats.split_once("ended: [")?;
            // What is called the same in both is the ledger's, which speaks of the whole run.
            all.add(report.split("bytes_dropped").next()?);
            all.add(fields);
            let ended = ended.split_once(']')?.0.split(", ").map(|n| n.parse::<u64>().unwrap());
            *all.0.entry("ended".into()).or_default() += ended.sum::<u64>();
            found = true;
        }
        found.then_some(all)
    }

    fn add(&mut self, fields: &str) {
        for field in fields.split(',') {
            if let Some((name, value)) = field.trim().split_once(": ") {
                *self.0.entry(name.into()).or_default() += value.trim().parse::<u64>().unwrap();
            }
        }
    }

    pub(crate) fn of(&self, name: &str) -> u64 {
        *self.0.get(name).unwrap_or_else(|| panic!("no counter is called {name}: {self:?}"))
    }

    /// What does not add up, for a server that has ended.
    pub(crate) fn imbalance(&self) -> Option<String> {
        let begun = self.of("accepted") + self.of("connected");
        let bytes = self.of("bytes_out") + self.of("bytes_dropped");
        let packets = self.of("packets_out") + self.of("packets_dropped");
        let balanced = begun == self.of("ended")
            && self.of("bytes_sent") == bytes
            && self.of("packets_sent") == packets;
        (!balanced).then(|| format!("the counters do not balance: {self:?}"))
    }
}
