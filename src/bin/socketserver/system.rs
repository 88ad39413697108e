//! What the command asks of the operating system: signals and descriptors.

use std::io;
use std::time::Duration;

use socketserver::{Context, Server};

/// From now on the first SIGTERM or SIGINT closes the listeners, answers what was taken and ends
/// the run within `drain`; a second one exits at once, even if the loop is stuck.
pub(crate) fn stop_on_signals<S: 'static>(
    server: &mut Server<S>,
    drain: Duration,
) -> io::Result<()> {
    on_first_signal(server, false, move |cx, _| {
        log::info!("asked to stop; what is left after {drain:?} is cut off");
        cx.io.server_close();
        cx.io.shutdown(drain);
    })
}

/// From now on the first SIGTERM or SIGINT, and SIGHUP if asked for, has `act` called with its
/// number; a second one exits at once, even if the loop is stuck.
#[cfg(unix)]
pub(crate) fn on_first_signal<S: 'static>(
    server: &mut Server<S>,
    hangup: bool,
    mut act: impl FnMut(&mut Context<'_, S>, i32) + 'static,
) -> io::Result<()> {
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::{flag, low_level};
    use socketserver::mio;

    let (reader, writer) = UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    let asked = Arc::new(AtomicBool::new(false));
    let which = Arc::new(AtomicUsize::new(0));
    for signal in [SIGTERM, SIGINT].into_iter().chain(hangup.then_some(SIGHUP)) {
        // In this order: the first signal finds the flag still down.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&asked))?;
        flag::register(signal, Arc::clone(&asked))?;
        let number = usize::try_from(signal).unwrap_or_default();
        flag::register_usize(signal, Arc::clone(&which), number)?;
        low_level::pipe::register(signal, writer.try_clone()?)?;
    }
    let source = mio::net::UnixStream::from_std(reader);
    server.watch(source, mio::Interest::READABLE, move |cx, source, _| {
        // An edge comes once for all that the signals wrote.
        let mut signals = [0; 16];
        while source.read(&mut signals).is_ok_and(|n| n > 0) {}
        act(cx, i32::try_from(which.load(Ordering::Acquire)).unwrap_or_default());
        Ok(())
    })?;
    Ok(())
}

/// Where there are no Unix signals, Ctrl-C ends the program at once.
#[cfg(not(unix))]
pub(crate) fn on_first_signal<S>(
    _server: &mut Server<S>,
    _hangup: bool,
    _act: impl FnMut(&mut Context<'_, S>, i32) + 'static,
) -> io::Result<()> {
    Ok(())
}

/// A server may use all the descriptors that the system would give it.
#[cfg(unix)]
pub(crate) fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        log::debug!("the limit of descriptors stays as it is: {error}");
    }
}

#[cfg(not(unix))]
pub(crate) fn raise_descriptor_limit() {}
