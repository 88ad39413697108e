//! What the command asks of the operating system: signals, descriptors and processes.

use std::io;
#[cfg(unix)]
use std::sync::Arc;
#[cfg(unix)]
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
#[cfg(unix)]
use std::time::Instant;

#[cfg(unix)]
use socketserver::Readiness;
use socketserver::{Context, Server};

#[cfg(unix)]
use crate::stop_signals::{Reaction, SAME_SIGNAL, StopRequests, heeded, repeats_end_at_once};

/// From now on the first signal that asks for a stop closes the listeners, answers what was taken
/// and ends the run within `drain`; a second one exits at once. For `also_ignored` see [`heeded`].
pub(crate) fn stop_on_signals<S: 'static>(
    server: &mut Server<S>,
    drain: Duration,
    also_ignored: bool,
) -> io::Result<()> {
    on_first_signal(server, also_ignored, move |cx, _| {
        log::info!("asked to stop; what is left after {drain:?} is cut off");
        cx.io.server_close();
        cx.io.shutdown(drain);
    })
}

/// An error of the system with what it happened to.
#[cfg(unix)]
fn about(what: &'static str) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// A file that may become no longer (`RLIMIT_FSIZE`), such as that of the log, is an error of its write and
/// not the end of the program.
#[cfg(unix)]
pub(crate) fn outlive_file_limits() {
    // The handler does nothing that matters: with any, the signal does not end the program.
    let handled = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
    if let Err(error) = handled {
        log::debug!("SIGXFSZ is as it was: {error}");
    }
}

#[cfg(not(unix))]
pub(crate) fn outlive_file_limits() {}

/// What asks this thread to stop comes to it later: a handler takes its place before it has anything
/// to do, and would swallow what comes in between.
#[cfg(unix)]
struct Later(nix::sys::signal::SigSet);

#[cfg(unix)]
impl Later {
    fn begin() -> io::Result<Later> {
        use nix::sys::signal::{SigSet, SigmaskHow, Signal};

        let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]);
        Ok(Later(signals.thread_swap_mask(SigmaskHow::SIG_BLOCK)?))
    }
}

#[cfg(unix)]
impl Drop for Later {
    fn drop(&mut self) {
        // It fails only for what is no mask.
        let _ = self.0.thread_set_mask();
    }
}

/// Throws away what a blocking socket has to read, up to a bound, without waiting. Says whether the
/// peer may still say something, and is false once it has ended.
#[cfg(unix)]
pub(crate) fn throw_away(socket: &socket2::Socket) -> io::Result<bool> {
    const READS: usize = 4;

    let mut buffer = [std::mem::MaybeUninit::uninit(); 16 << 10];
    for _ in 0..READS {
        match socket.recv_with_flags(&mut buffer, libc::MSG_DONTWAIT) {
            Ok(0) => return Ok(false),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Elsewhere a read cannot be told not to wait; EOF shows when a write fails.
#[cfg(not(unix))]
pub(crate) fn throw_away(_socket: &socket2::Socket) -> io::Result<bool> {
    Ok(true)
}

/// Calls `act` with the number of the first signal that asks for a stop; a second one exits at once with
/// 128 and its number. Once the stop has lasted for [`SAME_SIGNAL`] it does so even if the loop is stuck.
/// For `also_ignored` see [`heeded`].
#[cfg(unix)]
pub(crate) fn on_first_signal<S: 'static>(
    server: &mut Server<S>,
    also_ignored: bool,
    mut act: impl FnMut(&mut Context<'_, S>, i32) + 'static,
) -> io::Result<()> {
    use signal_hook_mio::v1_0::Signals;
    use socketserver::mio::Interest;

    let later = Later::begin()?;
    // Another thread may get the signal: until all handlers are installed, the program ends as it
    // would have ended a moment before.
    let half_there = Arc::new(AtomicBool::new(true));
    let signals = heeded(also_ignored);
    let repeats_exit = end_or_exit(&signals, &half_there)?;
    let about = about("cannot watch the signals");
    let source = Signals::new(signals).map_err(&about)?;
    let mut stops = StopRequests::default();
    let watched = server.watch(source, Interest::READABLE, move |cx, signals, ready| {
        if ready == Readiness::default() {
            // The timer: a signal from now on is another one.
            repeats_exit.store(true, Ordering::Release);
        }
        for signal in signals.pending() {
            match stops.note(signal, Instant::now()) {
                Reaction::Stop => {
                    cx.io.set_timer(cx.id, SAME_SIGNAL);
                    act(cx, signal);
                }
                Reaction::Nothing => {}
                Reaction::Exit(code) => signal_hook::low_level::exit(code),
            }
        }
        Ok(())
    });
    watched.map_err(about)?;
    half_there.store(false, Ordering::Release);
    drop(later);
    Ok(())
}

/// Each of these signals has its default action while `by_default` is set, and exits at once while what is
/// returned is set, where that is wanted.
#[cfg(unix)]
fn end_or_exit(signals: &[i32], by_default: &Arc<AtomicBool>) -> io::Result<Arc<AtomicBool>> {
    use signal_hook::flag;

    let exits = Arc::new(AtomicBool::new(false));
    for &signal in signals {
        flag::register_conditional_default(signal, Arc::clone(by_default))?;
        if repeats_end_at_once(signal) {
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&exits))?;
        }
    }
    Ok(exits)
}

/// Where there are no Unix signals, Ctrl-C ends the program at once.
#[cfg(not(unix))]
pub(crate) fn on_first_signal<S>(
    _server: &mut Server<S>,
    _also_ignored: bool,
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
#[allow(clippy::useless_conversion, reason = "on some systems the limit is a signed number")]
pub(crate) fn most_descriptors() -> Option<u64> {
    use nix::sys::resource::{Resource, getrlimit};

    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    u64::try_from(hard).ok()
}

#[cfg(not(unix))]
pub(crate) fn most_descriptors() -> Option<u64> {
    None
}

/// From now on the first signal that asks for a stop calls `then` in a thread of its own; a second
/// one exits at once.
#[cfg(unix)]
pub(crate) fn on_interrupt(then: impl Fn() + Send + 'static) -> io::Result<()> {
    use signal_hook::iterator::Signals;

    let about = about("cannot watch the signals");
    let mut signals = Signals::new(heeded(false)).map_err(&about)?;
    let mut stops = StopRequests::default();
    let waiter = move || {
        for signal in signals.forever() {
            match stops.note(signal, Instant::now()) {
                Reaction::Stop => then(),
                Reaction::Nothing => {}
                Reaction::Exit(code) => signal_hook::low_level::exit(code),
            }
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(waiter).map(drop).map_err(about)
}

#[cfg(not(unix))]
pub(crate) fn on_interrupt(_then: impl Fn() + Send + 'static) -> io::Result<()> {
    Ok(())
}

/// Whether standard input is a device that gives nothing, as `/dev/null`; a terminal is one too.
#[cfg(unix)]
pub(crate) fn input_is_null() -> bool {
    use std::os::unix::fs::FileTypeExt;

    let metadata = standard_input().and_then(|input| input.metadata());
    metadata.is_ok_and(|input| input.file_type().is_char_device())
}

#[cfg(not(unix))]
pub(crate) fn input_is_null() -> bool {
    false
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

/// Bytes as a name of the system; none where they cannot be one.
#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere not all bytes are names")]
pub(crate) fn os_text(bytes: &[u8]) -> Option<std::ffi::OsString> {
    use std::os::unix::ffi::OsStrExt;

    Some(std::ffi::OsStr::from_bytes(bytes).to_os_string())
}

#[cfg(not(unix))]
pub(crate) fn os_text(bytes: &[u8]) -> Option<std::ffi::OsString> {
    std::str::from_utf8(bytes).ok().map(|text| text.trim_end_matches('\r').into())
}

/// A child process that Ctrl-C in the terminal does not reach: its parent ends it.
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
