//! The server of a directory.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use socketserver::{Options, Server, SocketId};

use super::print_error;
use super::put::shown;
use super::signals::stop_on_signals;
use super::sweep::sweep;
use super::unfinished::{UnfinishedLimits, UnfinishedUploads};
use super::upload::{Upload, WorkResult};

/// The state shared by all uploads.
pub(crate) struct UploadState {
    pub(crate) unfinished: Arc<UnfinishedUploads>,
    /// Results of workers, by connection, until its timer fires.
    pub(crate) done: HashMap<SocketId, io::Result<WorkResult>>,
}

/// Each upload has at most one job, so `Options::offload_queue` is never full.
const MAX_UPLOADS: usize = 512;
/// Time that a shutdown gives to uploads.
const GRACE: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(60);

pub(crate) fn serve(
    dir: &Path,
    addr: &str,
    keep: Duration,
    limits: UnfinishedLimits,
) -> io::Result<()> {
    let dir = dir
        .canonicalize()
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", shown(dir))))?;
    let unfinished = UnfinishedUploads::new(dir, limits);
    sweep(&unfinished, keep)?;
    let store = UploadState { unfinished: Arc::clone(&unfinished), done: HashMap::new() };
    let options =
        Options { max_connections: MAX_UPLOADS, idle_timeout: Some(IDLE), ..Options::default() };
    let mut server = Server::with_shared(store, options)?;
    let listener = server.listen(addr, |_peer| Upload::default())?;
    thread::Builder::new().name("sweep".into()).spawn(move || sweep_for_ever(&unfinished, keep))?;
    stop_on_signals(&mut server, GRACE)?;
    if let Some(addr) = server.io().local_addr(listener) {
        // A closed standard output is no reason to stop.
        let _ = writeln!(io::stdout(), "listening tcp {addr}");
    }
    server.serve_forever()
}

/// Sweeps as often as a partial file can expire.
fn sweep_for_ever(unfinished: &Arc<UnfinishedUploads>, keep: Duration) {
    loop {
        thread::sleep(keep.clamp(Duration::from_secs(1), Duration::from_secs(3_600)));
        if let Err(error) = sweep(unfinished, keep) {
            print_error(&format!("cannot sweep unfinished uploads: {error}"));
        }
    }
}
