//! SIGTERM, SIGINT and SIGHUP end a server in good order, for the examples that are run as programs.

use std::io;
use std::time::Duration;

use socketserver::Server;

/// From now on the first signal has everything that has come in answered, and then the run ends;
/// what is left after `grace` is cut off. A second one ends the program at once, unless it is a
/// SIGHUP: a terminal that goes sends two. What was ignored at the start stays ignored, as `nohup`
/// wants it, and what was blocked is not any more.
#[cfg(unix)]
pub(crate) fn stop_on_signals<S: 'static>(
    server: &mut Server<S>,
    grace: Duration,
) -> io::Result<()> {
    use std::io::Read;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use nix::sys::signal::{SigSet, Signal};
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::{flag, low_level};
    use socketserver::mio::{Interest, net::UnixStream};

    let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    let asked = Arc::new(AtomicBool::new(false));
    let ignored = ignored();
    for signal in [SIGTERM, SIGINT, SIGHUP].into_iter().filter(|signal| !ignored(*signal)) {
        // In this order: a signal that finds only the first of them is not lost, and the first
        // signal of all finds the flag still down.
        low_level::pipe::register(signal, writer.try_clone()?)?;
        if signal != SIGHUP {
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&asked))?;
        }
        flag::register(signal, Arc::clone(&asked))?;
    }
    SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]).thread_unblock()?;
    server.watch(UnixStream::from_std(reader), Interest::READABLE, move |cx, reader, _| {
        while reader.read(&mut [0; 16]).is_ok_and(|n| n > 0) {}
        cx.io.server_close();
        cx.io.shutdown(grace);
        Ok(())
    })?;
    Ok(())
}

/// Whether a signal was ignored when the program started, where the system tells (proc(5), Linux).
#[cfg(unix)]
fn ignored() -> impl Fn(i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    move |signal| mask >> (signal - 1) & 1 == 1
}

/// Where there are no signals as of Unix, what ends the program ends it at once.
#[cfg(not(unix))]
pub(crate) fn stop_on_signals<S>(_: &mut Server<S>, _grace: Duration) -> io::Result<()> {
    Ok(())
}
