//! Streams of a simulated kernel, which this crate's own tests install.

#![cfg_attr(not(test), allow(dead_code, reason = "only this crate's tests bring a kernel"))]

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use mio::Token;

use super::MemoryStream;
use super::datagram::SimDatagramKernel;
use crate::addr::Addr;

/// The stream calls of a simulated kernel; `n` is a descriptor.
pub(crate) trait SimKernel: SimDatagramKernel {
    fn accept(&mut self) -> io::Result<(u32, Addr)>;
    /// Binds to `from` first, if there is one.
    fn connect(&mut self, to: &Addr, from: Option<&Addr>) -> io::Result<u32>;
    fn register_listener(&mut self, token: Token) -> io::Result<()>;
    fn register(&mut self, n: u32, token: Token, room: bool) -> io::Result<()>;
    fn reports_writable(&self, n: u32) -> bool;
    fn update_interests(&mut self, n: u32, input: bool, room: bool) -> io::Result<()>;
    fn read(&mut self, n: u32, buffer: &mut [u8]) -> io::Result<usize>;
    /// Whether the last read stopped early because of passed descriptors.
    fn has_ctrunc(&self, n: u32) -> bool;
    fn write(&mut self, n: u32, bytes: &[u8]) -> io::Result<usize>;
    fn shutdown_write(&mut self, n: u32) -> io::Result<()>;
    fn error(&mut self, n: u32) -> Option<io::Error>;
    fn is_connected(&mut self, n: u32) -> bool;
    /// The local address; `None` if it is of no interest.
    fn local_addr(&self, n: u32) -> Option<Addr>;
    /// The number of written bytes that the peer has not acknowledged.
    fn unacknowledged(&mut self, n: u32) -> u32;
    fn reset_on_close(&mut self, n: u32);
    fn close(&mut self, n: u32);
}

thread_local! {
    /// The kernel under the servers of this thread.
    static KERNEL: RefCell<Option<Rc<RefCell<dyn SimKernel>>>> = const { RefCell::new(None) };
}

/// Stream numbers from here on are descriptors of the simulated kernel.
const FIRST: u32 = 1 << 31;

/// Sets the kernel for the simulated sockets of this thread.
pub(crate) fn install(kernel: Option<Rc<RefCell<dyn SimKernel>>>) {
    KERNEL.with(|present| *present.borrow_mut() = kernel);
}

/// Calls the kernel of this thread; returns `otherwise` if there is none.
pub(super) fn ask<R>(otherwise: R, call: impl FnOnce(&mut dyn SimKernel) -> R) -> R {
    KERNEL.with(|kernel| match &*kernel.borrow() {
        Some(kernel) => call(&mut *kernel.borrow_mut()),
        None => otherwise,
    })
}

impl MemoryStream {
    /// Calls the simulated kernel if this is one of its sockets.
    pub(super) fn simulated<R>(
        &self,
        call: impl FnOnce(&mut dyn SimKernel, u32) -> R,
    ) -> Option<R> {
        let n = self.0.checked_sub(FIRST)?;
        ask(None, |kernel| Some(call(kernel, n)))
    }
}

/// Accepts a client of the simulated kernel's one listener.
pub(in crate::net) fn accept() -> io::Result<(MemoryStream, Addr)> {
    let (n, peer) = ask(Err(io::ErrorKind::WouldBlock.into()), |kernel| kernel.accept())?;
    Ok((MemoryStream(FIRST + n), peer))
}

/// Starts a connection of the simulated kernel; `None` if there is no kernel.
pub(in crate::net) fn connect(to: &Addr, from: Option<&Addr>) -> Option<io::Result<MemoryStream>> {
    let begun = ask(None, |kernel| Some(kernel.connect(to, from)))?;
    Some(begun.map(|n| MemoryStream(FIRST + n)))
}

/// Registers that listener.
pub(in crate::net) fn register_listener(token: Token) -> io::Result<()> {
    ask(Ok(()), |kernel| kernel.register_listener(token))
}
