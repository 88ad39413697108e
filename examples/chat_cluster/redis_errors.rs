//! Why Redis is away, told once for each reason and not once for each attempt.

use std::io;

use crate::print_error;

/// Reasons that are remembered while Redis is away; one more is told each time it comes.
const MAX_REASONS: usize = 16;

pub(crate) struct RedisErrors {
    redis: String,
    reported: Vec<String>,
}

impl RedisErrors {
    pub(crate) fn new(redis: &str) -> RedisErrors {
        RedisErrors { redis: redis.into(), reported: Vec::new() }
    }

    /// A connection to Redis has come to its end.
    pub(crate) fn report(&mut self, outcome: &io::Result<()>) {
        let reason = match outcome {
            Ok(()) => "it ended the connection".to_string(),
            Err(error) => error.to_string(),
        };
        if self.reported.contains(&reason) {
            return;
        }
        print_error(&format!("Redis at {}: {reason}; trying on", self.redis));
        if self.reported.len() < MAX_REASONS {
            self.reported.push(reason);
        }
    }

    pub(crate) fn clear(&mut self) {
        if !self.reported.is_empty() {
            print_error(&format!("Redis at {} is back", self.redis));
            self.reported.clear();
        }
    }
}
