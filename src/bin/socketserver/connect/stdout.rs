//! Standard output, written by a thread of its own, with a bound on what waits for it.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use socketserver::{Server, ServerHandle};

use super::patience;
use super::session::Session;

/// What may wait before nothing more is taken from the server, and when that goes on.
const HIGH_WATER: usize = 256 << 10;
const LOW_WATER: usize = 64 << 10;

/// The loop's side: what it has to be written.
pub(super) struct StdoutQueue {
    pending: Arc<Pending>,
    /// What is not written yet, as far as the loop knows.
    unwritten: usize,
}

/// What the two threads share.
#[derive(Default)]
struct Pending {
    bytes: Mutex<Vec<u8>>,
    came: Condvar,
}

impl StdoutQueue {
    pub(super) fn new() -> StdoutQueue {
        StdoutQueue { pending: Arc::default(), unwritten: 0 }
    }

    /// Starts to write. What became of it comes to [`Session::written`] and
    /// [`Session::output_failed`].
    pub(super) fn start(&self, handle: ServerHandle<Session>) -> io::Result<()> {
        let pending = Arc::clone(&self.pending);
        thread::Builder::new().name("stdout".into()).spawn(move || write(&handle, &pending))?;
        Ok(())
    }

    /// Has `bytes` written after everything before. Says whether the server is to be taken from.
    pub(super) fn put(&mut self, bytes: &[u8]) -> bool {
        self.unwritten += bytes.len();
        self.pending.lock().extend_from_slice(bytes);
        self.pending.came.notify_one();
        self.unwritten <= HIGH_WATER
    }

    /// So much was written. Says whether the server may be taken from again.
    pub(super) fn written(&mut self, n: usize) -> bool {
        debug_assert!(n <= self.unwritten);
        self.unwritten -= n;
        self.unwritten <= LOW_WATER
    }

    pub(super) fn is_empty(&self) -> bool {
        self.unwritten == 0
    }
}

impl Pending {
    /// Nothing panics while it holds the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for bytes and takes all there are, into an empty `Vec`.
    fn take(&self, bytes: &mut Vec<u8>) {
        let waited = self.came.wait_while(self.lock(), |pending| pending.is_empty());
        std::mem::swap(&mut *waited.unwrap_or_else(PoisonError::into_inner), bytes);
    }
}

fn write(handle: &ServerHandle<Session>, pending: &Pending) {
    let mut stdout = io::stdout().lock();
    let mut bytes = Vec::new();
    loop {
        pending.take(&mut bytes);
        let called = match write_all(&mut stdout, &bytes) {
            Ok(()) => {
                let n = bytes.len();
                handle.post(move |session, io| session.written(io, n))
            }
            Err(error) => {
                let _ = handle.post(move |session, _| session.output_failed(error));
                return;
            }
        };
        if called.is_err() {
            return;
        }
        bytes.clear();
    }
}

/// Writes all of it, also where the descriptor is non-blocking.
pub(crate) fn write_all(out: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let n = patience(|| out.write(bytes))?;
        if n == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = bytes.get(n..).unwrap_or_default();
    }
    patience(|| out.flush())
}

/// Notifies the session when the reader of standard output closes it while nothing is written:
/// the system announces that without being asked, for pipes.
#[cfg(target_os = "linux")]
pub(super) fn watch(server: &mut Server<Session>) {
    use socketserver::mio::{Interest, unix::SourceFd};

    // A file cannot be watched, and has no reader that could close it.
    let _ = server.watch(SourceFd(&1), Interest::PRIORITY, |cx, _, ready| {
        if ready.error {
            cx.shared.reader_gone();
        }
        Ok(())
    });
}

/// Elsewhere the next write tells.
#[cfg(not(target_os = "linux"))]
pub(super) fn watch(_server: &mut Server<Session>) {}
