//! Whether the server may have one more connection.

use super::Io;

impl Io {
    /// Whether one more client may be accepted; among other loops, that is then reserved.
    pub(crate) fn try_reserve(&mut self) -> bool {
        !self.is_shutting_down() && self.accept_quota != Some(0) && self.reserve()
    }

    fn reserve(&mut self) -> bool {
        self.sockets.connection_count() < self.options.max_connections && self.sockets.reserve()
    }

    /// The same; but who is over and only lingers makes room for who comes.
    pub(super) fn reserve_or_evict(&mut self) -> bool {
        self.reserve() || self.remove_oldest_lingering() && self.reserve()
    }

    /// Whether one more client may be accepted if one that lingers goes for it. Whether a client waits
    /// is not known before there is room, so after the last one another goes for nothing.
    pub(crate) fn try_reserve_or_evict(&mut self) -> bool {
        !self.is_shutting_down() && self.accept_quota != Some(0) && self.reserve_or_evict()
    }
}
