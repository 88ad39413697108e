//! What all connections share.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use crate::head;
use crate::response::{Response, Status};
use crate::spool::DiskQuota;

/// Everything a peer may make us hold or wait for. The limits of a head stand in `request.rs`,
/// those of chunks in `body.rs`.
pub(crate) struct HttpLimits {
    /// From the first byte of a head to its end.
    pub(crate) head_timeout: Duration,
    /// Without a request, or without some KiB of a body.
    pub(crate) idle_timeout: Duration,
    /// Bytes of a request's body.
    pub(crate) body: u64,
    /// Bytes of all bodies together that are kept on the disk.
    pub(crate) disk: u64,
}

impl Default for HttpLimits {
    fn default() -> HttpLimits {
        HttpLimits {
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            body: 1 << 30,
            disk: 2 << 30,
        }
    }
}

/// Bytes of a file that are read and sent at once.
const PIECE: usize = 64 << 10;

pub(crate) struct Site {
    /// Below this, with no symbolic link left in it, lie all files that are served.
    pub(crate) files: Option<PathBuf>,
    pub(crate) limits: HttpLimits,
    /// Where heads are written, so that an answer costs no allocation.
    pub(crate) scratch: Vec<u8>,
    /// Where pieces of files are read.
    pub(crate) piece: Vec<u8>,
    /// The usual answer of `/`, complete.
    pub(crate) hello: Vec<u8>,
    /// `None` while the clock shows what HTTP cannot say.
    pub(crate) date: Option<String>,
    pub(crate) disk: DiskQuota,
    /// The time of the present callback.
    pub(crate) now: Instant,
    /// When the second is over that `date` names.
    fresh_until: Option<Instant>,
}

impl Site {
    pub(crate) fn new(files: Option<PathBuf>, limits: HttpLimits) -> Site {
        let (scratch, hello) = Default::default();
        let (piece, disk) = (vec![0; PIECE], DiskQuota::new(limits.disk));
        let now = Instant::now();
        Site { files, limits, scratch, piece, hello, date: None, disk, now, fresh_until: None }
    }

    /// A callback begins. What carries the date is written anew when another second has begun.
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

    /// The answer of `/` in a form that is not the usual one.
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
