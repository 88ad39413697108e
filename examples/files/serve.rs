//! The server: a directory, and who uploads into it.

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

/// What all uploads share.
pub(crate) struct UploadState {
    pub(crate) unfinished: Arc<UnfinishedUploads>,
    /// What workers brought back, until the next callback of that connection.
    pub(crate) done: HashMap<SocketId, io::Result<WorkResult>>,
}

/// Each has at most one piece of work under way, so `Options::offload_queue` is never met.
const MAX_UPLOADS: usize = 512;
/// How long a stop waits for uploads that are under way.
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
        // Whoever does not read it is served all the same.
        let _ = writeln!(io::stdout(), "listening tcp {addr}");
    }
    server.serve_forever()
}

/// Looks for forgotten uploads as often as one can become due.
fn sweep_for_ever(unfinished: &Arc<UnfinishedUploads>, keep: Duration) {
    loop {
        thread::sleep(keep.clamp(Duration::from_secs(1), Duration::from_secs(3_600)));
        if let Err(error) = sweep(unfinished, keep) {
            print_error(&format!("unfinished uploads stay: {error}"));
        }
    }
}
