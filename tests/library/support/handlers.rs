//! Handlers that many tests need.

use std::io;

use socketserver::{Addr, Context, Handler, Input};

/// A handler that is only a `handle`.
pub(crate) struct OnInput<F>(pub(crate) F);

impl<S, F> Handler<S> for OnInput<F>
where
    F: FnMut(&mut Context<'_, S>, &mut Input<'_>) -> io::Result<()>,
{
    fn handle(&mut self, cx: &mut Context<'_, S>, input: &mut Input<'_>) -> io::Result<()> {
        (self.0)(cx, input)
    }
}

/// Makes [`OnInput`] with the types of the closure known.
pub(crate) fn on_input<S, F>(handle: F) -> OnInput<F>
where
    F: FnMut(&mut Context<'_, S>, &mut Input<'_>) -> io::Result<()>,
{
    OnInput(handle)
}

/// A handler that is only a `setup`, and takes whatever comes.
pub(crate) struct OnSetup<F>(pub(crate) F);

impl<S, F> Handler<S> for OnSetup<F>
where
    F: FnMut(&mut Context<'_, S>) -> io::Result<()>,
{
    fn setup(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        (self.0)(cx)
    }

    fn handle(&mut self, _: &mut Context<'_, S>, input: &mut Input<'_>) -> io::Result<()> {
        input.take_all();
        Ok(())
    }
}

pub(crate) fn on_setup<S, F>(setup: F) -> OnSetup<F>
where
    F: FnMut(&mut Context<'_, S>) -> io::Result<()>,
{
    OnSetup(setup)
}

/// A closure as a handler of datagrams, with its types known.
pub(crate) fn on_datagram<S, F>(handle: F) -> F
where
    F: FnMut(&mut Context<'_, S>, &[u8], &Addr) -> io::Result<()>,
{
    handle
}

/// Takes everything and answers nothing, so that nothing slows its peer down.
pub(crate) struct Discard;

impl<S> Handler<S> for Discard {
    fn handle(&mut self, _: &mut Context<'_, S>, input: &mut Input<'_>) -> io::Result<()> {
        input.take_all();
        Ok(())
    }
}

/// Answers, and does not close at a shutdown.
pub(crate) struct Stubborn;

impl Handler for Stubborn {
    fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        cx.send(input.take_all());
        Ok(())
    }

    fn shutdown(&mut self, _: &mut Context<'_>) -> io::Result<()> {
        Ok(())
    }
}
