//! Where handlers wait until the test lets them pass.

use std::cell::Cell;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use super::started::until;

pub(crate) struct Gate {
    listener: UnixListener,
    path: String,
    waiting: Cell<Vec<UnixStream>>,
}

impl Gate {
    pub(crate) fn new(directory: &Path) -> Gate {
        let path = directory.join("gate").display().to_string();
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        Gate { listener, path, waiting: Cell::default() }
    }

    /// What makes a handler wait here.
    pub(crate) fn order(&self) -> String {
        format!("gate {}\n", self.path)
    }

    /// Waits until one more handler has come.
    #[track_caller]
    pub(crate) fn wait(&self) {
        let mut waiting = self.waiting.take();
        until("a handler at the gate", || {
            let came = self.listener.accept();
            came.is_ok_and(|(stream, _)| {
                waiting.push(stream);
                true
            })
        });
        self.waiting.set(waiting);
    }

    /// Whether one more handler stands here.
    pub(crate) fn has_another(&self) -> bool {
        let came = self.listener.accept();
        came.is_ok_and(|(stream, _)| {
            let mut waiting = self.waiting.take();
            waiting.push(stream);
            self.waiting.set(waiting);
            true
        })
    }

    /// Lets the one pass that has waited the longest.
    pub(crate) fn open_for_one(&self) {
        let mut waiting = self.waiting.take();
        drop(waiting.remove(0));
        self.waiting.set(waiting);
    }
}
