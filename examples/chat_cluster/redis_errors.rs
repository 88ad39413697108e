//! Reports why Redis is away, once for each reason and not for each attempt.

use std::io;

use crate::print_error;

/// Reasons remembered while Redis is away; further ones are reported each time.
const MAX_REASONS: usize = 16;

pub(crate) struct RedisErrors {
    redis: String,
    reported: Vec<String>,
}

impl RedisErrors {
    pub(crate) fn new(redis: &str) -> RedisErrors {
        RedisErrors { redis: redis.into(), reported: Vec::new() }
    }

    /// Reports the end of a connection to Redis.
    pub(crate) fn report(&mut self, outcome: &io::Result<()>) {
        let reason = match outcome {
            Ok(()) => "it closed the connection".to_string(),
            Err(error) => error.to_string(),
        };
        if self.reported.contains(&reason) {
            return;
        }
        print_error(&format!("Redis at {}: {reason}; trying again", self.redis));
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
