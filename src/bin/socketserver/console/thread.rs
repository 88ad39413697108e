//! A standard stream that a thread writes, where a write cannot be kept from waiting for its reader.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use socketserver::Server;

/// Texts that may wait for one reader.
const QUEUE: usize = 256;

/// One of the two that are written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Standard {
    Output,
    Error,
}

/// Texts that were taken and are not written yet.
static UNWRITTEN: AtomicUsize = AtomicUsize::new(0);

impl Standard {
    /// Says whether there is room for `text` among what waits; else it is dropped.
    ///
    /// # Errors
    /// None: what a write says of standard output is noted by its thread.
    #[expect(clippy::unnecessary_wraps, reason = "on Unix the caller writes")]
    pub(super) fn put(self, text: Vec<u8>) -> io::Result<bool> {
        static OUTPUT: OnceLock<Option<SyncSender<Vec<u8>>>> = OnceLock::new();
        static ERROR: OnceLock<Option<SyncSender<Vec<u8>>>> = OnceLock::new();
        let queue = match self {
            Standard::Output => OUTPUT.get_or_init(|| start(io::stdout(), super::note_unwritten)),
            Standard::Error => ERROR.get_or_init(|| start(io::stderr(), |_| {})),
        };
        let Some(queue) = queue else { return Ok(false) };
        UNWRITTEN.fetch_add(1, Ordering::AcqRel);
        let sent = queue.try_send(text);
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = &sent {
            UNWRITTEN.fetch_sub(1, Ordering::AcqRel);
        }
        Ok(sent.is_ok())
    }

    /// Waits until `end` for everything that waits.
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "on Unix the caller writes")]
    pub(super) fn flush(self, end: Instant) -> io::Result<()> {
        while UNWRITTEN.load(Ordering::Acquire) > 0 && Instant::now() < end {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

/// The thread writes without being asked.
pub(super) fn watch<S>(
    _server: &mut Server<S>,
    _standard: Standard,
    _failed: impl Fn(io::Error) + 'static,
) {
}

/// None when the system gives no thread.
fn start(
    mut out: impl Write + Send + 'static,
    failed: impl Fn(&io::Error) + Send + 'static,
) -> Option<SyncSender<Vec<u8>>> {
    let (sender, texts) = sync_channel::<Vec<u8>>(QUEUE);
    let started = thread::Builder::new().name("console".into()).spawn(move || {
        for text in texts {
            if let Err(error) = out.write_all(&text).and_then(|()| out.flush()) {
                failed(&error);
            }
            UNWRITTEN.fetch_sub(1, Ordering::AcqRel);
        }
    });
    started.is_ok().then_some(sender)
}
