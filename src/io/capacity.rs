//! Whether the server may have one more connection.

use super::Io;

impl Io {
    /// Takes a permit for one more client, if the server may accept one. `false` during a shutdown,
    /// when `handle_request` has its client, and when
    /// [`Options::max_connections`](crate::Options::max_connections) are open.
    pub(crate) fn try_reserve(&mut self) -> bool {
        !self.is_shutting_down() && self.accept_quota != Some(0) && self.reserve()
    }

    fn reserve(&mut self) -> bool {
        self.sockets.connection_count() < self.options.max_connections && self.sockets.reserve()
    }

    /// Takes a permit for one more connection; when there is none, removes the connection that has
    /// lingered for the longest time and tries again.
    pub(super) fn reserve_or_evict(&mut self) -> bool {
        self.reserve() || self.remove_oldest_lingering() && self.reserve()
    }

    /// Like [`Io::try_reserve`], but removes a lingering connection to free a permit. Whether a
    /// client waits is not known before there is a permit, so after the last client one lingering
    /// connection is removed for nothing.
    pub(crate) fn try_reserve_or_evict(&mut self) -> bool {
        !self.is_shutting_down() && self.accept_quota != Some(0) && self.reserve_or_evict()
    }
}
