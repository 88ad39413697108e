//! The state shared by all connections.

use std::time::{Duration, Instant, SystemTime};

use cap_std::fs::Dir;

use crate::head;
use crate::places::Places;
use crate::response::{Response, Status};
use crate::spool::DiskQuota;

/// The limits and timeouts of a connection. Those of heads are in `request.rs`, those of chunks in
/// `body.rs`.
pub(crate) struct HttpLimits {
    /// From the first byte of a head to its last.
    pub(crate) head_timeout: Duration,
    /// Without a request or 4 KiB of a body.
    pub(crate) idle_timeout: Duration,
    /// How long one answer of events lasts. The client asks for more.
    pub(crate) events_time: Duration,
    /// Longest body of a request in bytes.
    pub(crate) body: u64,
    /// Most bytes of all spooled bodies on the disk.
    pub(crate) disk: u64,
}

impl Default for HttpLimits {
    fn default() -> HttpLimits {
        HttpLimits {
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            events_time: Duration::from_secs(600),
            body: 1 << 30,
            disk: 2 << 30,
        }
    }
}

/// Most clients at once, if there are descriptors for them.
const MAX_CLIENTS: usize = 100_000;
/// Bytes of a file that are read and sent at once.
const PIECE: usize = 64 << 10;

pub(crate) struct Site {
    /// The folder of all files served; `None` without `--files`.
    pub(crate) files: Option<Dir>,
    pub(crate) limits: HttpLimits,
    pub(crate) places: Places,
    /// Reused for heads, so that an answer allocates nothing.
    pub(crate) scratch: Vec<u8>,
    /// Reused for pieces of files.
    pub(crate) piece: Vec<u8>,
    /// The complete answer of `GET /` over HTTP/1.1.
    pub(crate) hello: Vec<u8>,
    /// `None` if HTTP cannot express the clock's time.
    pub(crate) date: Option<String>,
    pub(crate) disk: DiskQuota,
    /// Time of the current callback.
    pub(crate) now: Instant,
    /// When `date` becomes outdated.
    fresh_until: Option<Instant>,
}

impl Site {
    pub(crate) fn new(files: Option<Dir>, limits: HttpLimits) -> Site {
        let (scratch, hello) = Default::default();
        let (piece, disk) = (vec![0; PIECE], DiskQuota::new(limits.disk));
        let now = Instant::now();
        let places = Places::new(MAX_CLIENTS, 1);
        Site {
            files,
            limits,
            places,
            scratch,
            piece,
            hello,
            date: None,
            disk,
            now,
            fresh_until: None,
        }
    }

    /// Must be called first in a callback. Formats the date again once a second.
    pub(crate) fn refresh(&mut self, now: Instant) {
        self.now = now;
        if self.fresh_until.is_some_and(|end| now < end) {
            return;
        }
        let time = SystemTime::now();
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let left = Duration::from_secs(1)
            .saturating_sub(Duration::from_nanos(since.subsec_nanos().into()));
        self.fresh_until = now.checked_add(left);
        self.date = head::date(time);
        hello(&mut self.hello, self.date.as_deref(), true);
    }

    /// The answer of `/` for other requests than a plain GET.
    pub(crate) fn hello_variant(&mut self, keep_alive: bool, body: bool) -> &[u8] {
        hello(&mut self.scratch, self.date.as_deref(), keep_alive);
        let len = self.scratch.len() - if body { 0 } else { HELLO.len() };
        self.scratch.get(..len).unwrap_or_default()
    }
}

const HELLO: &[u8] = b"hello, world";

fn hello(out: &mut Vec<u8>, date: Option<&str>, keep_alive: bool) {
    let mut response = Response::begin(out, Status::OK, date);
    response.header("Content-Type", "text/plain");
    response.header("Content-Length", HELLO.len());
    response.end(keep_alive);
    out.extend_from_slice(HELLO);
}
