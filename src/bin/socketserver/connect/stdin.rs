//! Standard input, read by a thread of its own and handed to the loop piece by piece.
//!
//! A thread, because a regular file cannot be watched. It reads only what it has a permit for, so
//! that no more than a few pieces are ever on their way, however slow the server is.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use socketserver::ServerHandle;

use super::patience;
use super::session::Session;
use crate::system;

/// The most that one read takes; what a pipe holds.
const PIECE: usize = 64 << 10;
/// Pieces that may be read before the first of them has left.
const PERMITS: usize = 2;

/// The loop's side: how many permits it has to give back.
pub(super) struct Permits {
    reader: Sender<()>,
    owed: usize,
}

impl Permits {
    /// Starts to read. Each piece comes to [`Session::typed`], the end to [`Session::input_over`].
    pub(super) fn start(handle: ServerHandle<Session>) -> io::Result<Permits> {
        let (reader, permits) = channel();
        thread::Builder::new().name("stdin".into()).spawn(move || read(&handle, &permits))?;
        let mut permits = Permits { reader, owed: PERMITS };
        permits.give_back();
        Ok(permits)
    }

    /// A piece has come.
    pub(super) fn take(&mut self) {
        self.owed += 1;
    }

    /// The pieces that came are dealt with.
    pub(super) fn give_back(&mut self) {
        for _ in 0..std::mem::take(&mut self.owed) {
            // A reader that is gone has read everything.
            let _ = self.reader.send(());
        }
    }
}

fn read(handle: &ServerHandle<Session>, permits: &Receiver<()>) {
    // Not `io::stdin`, for which a descriptor that cannot be read has come to its end.
    let mut stdin = system::standard_input();
    let mut buffer = vec![0; PIECE];
    let mut read = |buffer: &mut [u8]| match &mut stdin {
        Ok(stdin) => patience(|| stdin.read(buffer)),
        Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
    };
    while permits.recv().is_ok() {
        let over = match read(&mut buffer) {
            Ok(0) => Ok(()),
            Ok(n) => {
                let piece = buffer.get(..n).unwrap_or_default().to_vec();
                // Without a loop there is no use for more input.
                match handle.post(move |session, io| session.typed(io, &piece)) {
                    Ok(()) => continue,
                    Err(_) => return,
                }
            }
            Err(error) => Err(error),
        };
        let _ = handle.post(move |session, io| session.input_over(io, over));
        return;
    }
}
