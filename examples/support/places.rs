//! How many clients an example serves at once. One more is told so and closed, because a client that
//! waits in the backlog of the kernel hears nothing.

/// Most clients that are being told so, beside those that are served.
const REFUSED: usize = 64;
/// Descriptors for everything that is no client.
const OTHERS: usize = 16;

/// The clients that are served, and how many may be.
#[derive(Debug)]
pub(crate) struct Places {
    most: usize,
    taken: usize,
    refused: usize,
}

impl Places {
    /// At most `most` clients, and no more than there are descriptors for, of which each needs
    /// `descriptors`. Raises the limit of descriptors as far as an unprivileged process may.
    pub(crate) fn new(most: usize, descriptors: usize) -> Places {
        let limit = raise_limit();
        let refused = REFUSED.min(limit / 8);
        let left = limit.saturating_sub(OTHERS + refused) / descriptors.max(1);
        Places { most: most.min(left).max(1), taken: 0, refused }
    }

    #[allow(dead_code, reason = "not every example tells it")]
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// For `Options::max_connections`.
    pub(crate) fn max_connections(&self) -> usize {
        self.most + self.refused
    }

    /// Takes a place; `false` if there is none.
    #[must_use]
    pub(crate) fn take(&mut self) -> bool {
        let is_free = self.taken < self.most;
        self.taken += usize::from(is_free);
        is_free
    }

    /// Gives a place back that was taken.
    pub(crate) fn give_back(&mut self) {
        self.taken = self.taken.saturating_sub(1);
    }
}

/// Returns the limit of descriptors.
#[cfg(unix)]
fn raise_limit() -> usize {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return usize::MAX };
    let raised = setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_or(soft, |()| hard);
    usize::try_from(raised).unwrap_or(usize::MAX)
}

#[cfg(not(unix))]
fn raise_limit() -> usize {
    usize::MAX
}
