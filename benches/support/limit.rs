//! The limit of open descriptors, which is often too low for a thousand connections.

/// Raises the limit as far as this process may, where that is known how.
#[cfg(all(unix, feature = "cli"))]
pub(crate) fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Connecting will tell if it was not enough.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}

#[cfg(not(all(unix, feature = "cli")))]
pub(crate) fn raise_descriptor_limit() {}
