//! SIGTERM and SIGINT end a server in good order, for the examples that are run as programs.

use std::io;
use std::time::Duration;

use socketserver::Server;

/// From now on the first signal has everything that has come in answered, and then the run ends;
/// what is left after `grace` is cut off. A second one ends the program at once.
#[cfg(unix)]
pub(crate) fn stop_on_signals<S: 'static>(
    server: &mut Server<S>,
    grace: Duration,
) -> io::Result<()> {
    use std::io::Read;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::{flag, low_level};
    use socketserver::mio::{Interest, net::UnixStream};

    let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // In this order: a signal that finds only the first of them is not lost, and the first
        // signal of all finds the flag still down.
        low_level::pipe::register(signal, writer.try_clone()?)?;
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&asked))?;
        flag::register(signal, Arc::clone(&asked))?;
    }
    server.watch(UnixStream::from_std(reader), Interest::READABLE, move |cx, reader, _| {
        while reader.read(&mut [0; 16]).is_ok_and(|n| n > 0) {}
        cx.io.server_close();
        cx.io.shutdown(grace);
        Ok(())
    })?;
    Ok(())
}

/// Where there are no signals as of Unix, what ends the program ends it at once.
#[cfg(not(unix))]
pub(crate) fn stop_on_signals<S>(_: &mut Server<S>, _grace: Duration) -> io::Result<()> {
    Ok(())
}
