//! SIGTERM, SIGINT and SIGHUP shut a server down, with `signal-hook`'s pipe in the poll;
//! `guide::shutdown` has the short form.

use std::io;
use std::time::Duration;

use socketserver::Server;

/// Shuts the server down at the first signal: input that was received is answered, and connections
/// still open after `grace` are aborted. A second SIGTERM or SIGINT ends the process at once; a
/// second SIGHUP does not, because a closing terminal sends two. Signals that were ignored at the
/// start stay ignored, for `nohup`. Blocked signals are unblocked. A file that may become no longer
/// (`RLIMIT_FSIZE`) is an error of its write, and SIGXFSZ does not end the program.
#[cfg(unix)]
pub(crate) fn stop_on_signals<S: 'static>(
    server: &mut Server<S>,
    grace: Duration,
) -> io::Result<()> {
    use std::io::Read;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use nix::sys::signal::{SigSet, Signal};
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
    use signal_hook::{flag, low_level};
    use socketserver::mio::{Interest, net::UnixStream};

    let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    let asked = Arc::new(AtomicBool::new(false));
    let ignored = ignored();
    for signal in [SIGTERM, SIGINT, SIGHUP].into_iter().filter(|signal| !ignored(*signal)) {
        // The pipe first: a signal between the registrations is not lost, and the first signal
        // finds `asked` still false.
        low_level::pipe::register(signal, writer.try_clone()?)?;
        if signal != SIGHUP {
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&asked))?;
        }
        flag::register(signal, Arc::clone(&asked))?;
    }
    flag::register(SIGXFSZ, Arc::default())?;
    SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]).thread_unblock()?;
    server.watch(UnixStream::from_std(reader), Interest::READABLE, move |cx, reader, _| {
        while reader.read(&mut [0; 16]).is_ok_and(|n| n > 0) {}
        cx.io.server_close();
        cx.io.shutdown(grace);
        Ok(())
    })?;
    Ok(())
}

/// Returns whether a signal was ignored at the start of the program (proc(5), Linux only).
#[cfg(unix)]
fn ignored() -> impl Fn(i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    move |signal| mask >> (signal - 1) & 1 == 1
}

/// Without Unix signals the system's default applies: the process ends at once.
#[cfg(not(unix))]
pub(crate) fn stop_on_signals<S>(_: &mut Server<S>, _grace: Duration) -> io::Result<()> {
    Ok(())
}
