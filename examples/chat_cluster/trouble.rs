//! Why Redis is away, told once for each reason and not once for each attempt.

use std::io;

use crate::say;

/// Reasons that are remembered while Redis is away; one more is told each time it comes.
const MOST_REASONS: usize = 16;

pub(crate) struct Trouble {
    redis: String,
    told: Vec<String>,
}

impl Trouble {
    pub(crate) fn with(redis: &str) -> Trouble {
        Trouble { redis: redis.into(), told: Vec::new() }
    }

    /// A connection to Redis has come to its end.
    pub(crate) fn because_of(&mut self, outcome: &io::Result<()>) {
        let reason = match outcome {
            Ok(()) => "it ended the connection".to_string(),
            Err(error) => error.to_string(),
        };
        if self.told.contains(&reason) {
            return;
        }
        say(&format!("Redis at {}: {reason}; trying on", self.redis));
        if self.told.len() < MOST_REASONS {
            self.told.push(reason);
        }
    }

    pub(crate) fn is_over(&mut self) {
        if !self.told.is_empty() {
            say(&format!("Redis at {} is back", self.redis));
            self.told.clear();
        }
    }
}
