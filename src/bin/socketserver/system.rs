//! What the command asks of the operating system: signals, descriptors and processes.

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

/// The most descriptors that a process may have, once it has raised its limit.
#[cfg(unix)]
pub(crate) fn most_descriptors() -> Option<u64> {
    use nix::sys::resource::{Resource, getrlimit};

    getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(_, hard)| hard)
}

#[cfg(not(unix))]
pub(crate) fn most_descriptors() -> Option<u64> {
    None
}

/// From now on the first SIGTERM or SIGINT calls `then` in a thread of its own; a second one exits
/// at once.
#[cfg(unix)]
pub(crate) fn on_interrupt(then: impl Fn() + Send + 'static) -> io::Result<()> {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::flag;
    use signal_hook::iterator::Signals;

    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&asked))?;
        flag::register(signal, Arc::clone(&asked))?;
    }
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let waiter = move || {
        for _ in signals.forever() {
            then();
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(waiter).map(drop)
}

#[cfg(not(unix))]
pub(crate) fn on_interrupt(_then: impl Fn() + Send + 'static) -> io::Result<()> {
    Ok(())
}

/// Standard input without a buffer, so that nothing is read from it that is left there.
#[cfg(unix)]
pub(crate) fn standard_input() -> io::Result<std::fs::File> {
    use std::os::fd::AsFd;

    Ok(io::stdin().as_fd().try_clone_to_owned()?.into())
}

#[cfg(windows)]
pub(crate) fn standard_input() -> io::Result<std::fs::File> {
    use std::os::windows::io::AsHandle;

    Ok(io::stdin().as_handle().try_clone_to_owned()?.into())
}

/// A child process that Ctrl-C in the terminal does not reach: who started it ends it.
#[cfg(unix)]
pub(crate) fn keep_from_terminal(command: &mut std::process::Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

#[cfg(not(unix))]
pub(crate) fn keep_from_terminal(_command: &mut std::process::Command) {}

/// Asks a process to end (SIGTERM).
#[cfg(unix)]
pub(crate) fn terminate(pid: u32) {
    signal(pid, nix::sys::signal::Signal::SIGTERM);
}

/// Asks a process to stop what it does (SIGINT).
#[cfg(unix)]
pub(crate) fn interrupt(pid: u32) {
    signal(pid, nix::sys::signal::Signal::SIGINT);
}

#[cfg(unix)]
fn signal(pid: u32, signal: nix::sys::signal::Signal) {
    // Zero and negative numbers would be groups of processes.
    if let Some(pid) = i32::try_from(pid).ok().filter(|pid| *pid > 0) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal);
    }
}

#[cfg(not(unix))]
pub(crate) fn terminate(_pid: u32) {}

#[cfg(not(unix))]
pub(crate) fn interrupt(_pid: u32) {}
