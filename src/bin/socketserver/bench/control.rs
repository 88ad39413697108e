//! What a client process hears from its parent on standard input, line by line.

use std::fs::File;
use std::io::{self, ErrorKind, Read};

use socketserver::{Io, Server};

use super::load::Load;
use super::protocol::{Order, ParentMessage};
use crate::system;

/// Standard input, and what of it is no whole line yet.
pub(crate) struct Parent {
    input: File,
    pending: Vec<u8>,
    /// Processes to end when the parent is gone.
    servers: Vec<u32>,
}

impl Parent {
    pub(crate) fn new(servers: Vec<u32>) -> io::Result<Parent> {
        Ok(Parent { input: system::standard_input()?, pending: Vec::new(), servers })
    }

    /// Waits for the first line.
    pub(crate) fn order(&mut self) -> io::Result<Order> {
        loop {
            if let Some(line) = self.line() {
                return Ok(serde_json::from_slice(&line)?);
            }
            if !self.read()? {
                self.is_gone();
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads once; `false` at the end.
    fn read(&mut self) -> io::Result<bool> {
        let mut bytes = [0; 4_096];
        let n = self.input.read(&mut bytes)?;
        self.pending.extend_from_slice(bytes.get(..n).unwrap_or_default());
        Ok(n > 0)
    }

    fn line(&mut self) -> Option<Vec<u8>> {
        let end = self.pending.iter().position(|byte| *byte == b'\n')?;
        Some(self.pending.drain(..=end).collect())
    }

    /// From now on the load does what the parent says. That takes no thread: in a process with two
    /// of them every system call on a descriptor costs more.
    #[cfg(unix)]
    pub(crate) fn watch(mut self, server: &mut Server<Load>) -> io::Result<()> {
        use socketserver::mio::{Interest, unix::pipe::Receiver};

        let pipe = Receiver::from(std::os::fd::OwnedFd::from(self.input.try_clone()?));
        pipe.set_nonblocking(true)?;
        server.watch(pipe, Interest::READABLE, move |cx, _, _| {
            self.hear(cx.shared, cx.io);
            Ok(())
        })?;
        Ok(())
    }

    #[cfg(not(unix))]
    pub(crate) fn watch(mut self, server: &mut Server<Load>) -> io::Result<()> {
        let handle = server.handle();
        let listener = move || {
            while self.read().unwrap_or(false) {
                while let Some(line) = self.line() {
                    if let Ok(command) = serde_json::from_slice::<ParentMessage>(&line) {
                        let _ = handle.post(move |load, io| load.command(command, io));
                    }
                }
            }
            self.is_gone();
            std::process::exit(1);
        };
        std::thread::Builder::new().name("parent".into()).spawn(listener).map(drop)
    }

    /// Everything that there is, since the next edge may come late.
    #[cfg_attr(not(unix), expect(dead_code, reason = "there a thread waits for the parent"))]
    fn hear(&mut self, load: &mut Load, io: &mut Io) {
        let is_gone = loop {
            match self.read() {
                Ok(true) => {}
                Ok(false) => break true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break error.kind() != ErrorKind::WouldBlock,
            }
        };
        while let Some(line) = self.line() {
            match serde_json::from_slice::<ParentMessage>(&line) {
                Ok(command) => load.command(command, io),
                Err(error) => log::warn!("not understood: {error}"),
            }
        }
        if is_gone && !load.is_over {
            self.is_gone();
            load.is_over = true;
        }
    }

    fn is_gone(&self) {
        for server in &self.servers {
            system::terminate(*server);
        }
    }
}
