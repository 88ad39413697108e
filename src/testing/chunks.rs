//! Checks that a handler does not depend on how its input is split.

use std::io;

use super::{Finished, TestServer};
use crate::handler::Handler;
use crate::options::Options;

/// Checks that a handler does the same however its input is split. New handlers get `input` in one
/// piece, byte by byte, and split in two at every position, each time followed by EOF, and once together
/// with EOF. Each must send the same bytes and end in the same way.
///
/// Inputs above 2,048 bytes are split at the first and last 512 positions, and at 1,024 positions spread
/// evenly between them.
///
/// ```
/// socketserver::testing::assert_chunk_invariant(|| socketserver::Echo, b"whatever\r\n");
/// ```
///
/// # Panics
/// When a run differs; the message has the split, the first byte that differs, or both outcomes.
pub fn assert_chunk_invariant<H>(mut make_handler: impl FnMut() -> H, input: &[u8])
where
    H: Handler + 'static,
{
    let make = || Ok((TestServer::with_shared((), Options::default())?, make_handler()));
    assert_chunk_invariant_with(make, input);
}

/// Like [`assert_chunk_invariant`], for handlers that share a value or need other [`Options`]. `make`
/// returns the server and the handler of each run.
///
/// ```
/// use std::io;
/// use socketserver::testing::{TestServer, assert_chunk_invariant_with};
/// use socketserver::{Context, Handler, Input, Options};
///
/// /// Joins all the lines of all clients.
/// struct Join;
///
/// impl Handler<Vec<u8>> for Join {
///     fn handle(&mut self, cx: &mut Context<'_, Vec<u8>>, input: &mut Input<'_>) -> io::Result<()> {
///         while let Some(line) = input.take_line(80)? {
///             cx.shared.extend_from_slice(line);
///             let all = cx.shared.clone();
///             cx.send(&all);
///         }
///         Ok(())
///     }
/// }
///
/// assert_chunk_invariant_with(
///     || Ok((TestServer::with_shared(Vec::new(), Options::default())?, Join)),
///     b"one\ntwo\n",
/// );
/// ```
///
/// # Panics
/// When a run differs, or `make` fails.
pub fn assert_chunk_invariant_with<S, H>(
    mut make: impl FnMut() -> io::Result<(TestServer<S>, H)>,
    input: &[u8],
) where
    H: Handler<S> + 'static,
{
    let whole = observe(&mut make, &[input], EofTiming::Apart);
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    whole.compare(&observe(&mut make, &bytes, EofTiming::Apart), || "byte by byte".to_string());
    let together = || "in one piece together with the end".to_string();
    whole.compare(&observe(&mut make, &[input], EofTiming::Together), together);
    for cut in cuts(input.len()) {
        let (before, after) = input.split_at_checked(cut).unwrap_or_default();
        let found = observe(&mut make, &[before, after], EofTiming::Apart);
        whole.compare(&found, || {
            let (before, after) = (shorten_front(before), shorten_back(after));
            format!("cut at {cut}, {before} | {after}")
        });
    }
}

/// Inputs up to `EVERYWHERE` bytes are split at every position. Longer ones are split at `AT_EITHER_END`
/// positions at either end, and at twice that number between.
const EVERYWHERE: usize = 2_048;
const AT_EITHER_END: usize = 512;

fn cuts(len: usize) -> Vec<usize> {
    if len <= EVERYWHERE {
        return (1..len).collect();
    }
    let (first, last) = (AT_EITHER_END, len - AT_EITHER_END);
    let between = 2 * AT_EITHER_END;
    let between = (1..=between).map(|nth| first + nth * (last - first) / (between + 1));
    (1..=first).chain(between).chain(last..len).collect()
}

/// When the peer sends EOF.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum EofTiming {
    /// After the server has handled all input.
    Apart,
    /// Together with the last piece.
    Together,
}

/// What the peer observed in one run.
#[derive(Debug)]
struct Observed {
    output: Vec<u8>,
    finished: Option<Finished>,
    was_reset: bool,
}

fn observe<S, H: Handler<S> + 'static>(
    make: &mut impl FnMut() -> io::Result<(TestServer<S>, H)>,
    pieces: &[&[u8]],
    end: EofTiming,
) -> Observed {
    let begun = make().and_then(|(mut server, handler)| {
        let peer = server.connect(handler)?;
        Ok((server, peer))
    });
    let (mut server, peer) = begun.unwrap_or_else(|error| panic!("no server to run: {error}"));
    server.run();
    for piece in pieces {
        peer.send(piece);
        if end == EofTiming::Apart {
            server.run();
        }
    }
    peer.end();
    server.run();
    Observed { output: peer.received(), finished: peer.finished(), was_reset: peer.was_reset() }
}

impl Observed {
    fn compare(&self, other: &Observed, how: impl Fn() -> String) {
        if self.output != other.output {
            let same = self.output.iter().zip(&other.output).take_while(|(a, b)| a == b).count();
            let around = same.saturating_sub(SHOWN / 2);
            let show = |output: &[u8]| shorten_back(output.get(around..).unwrap_or_default());
            let (whole, cut) = (show(&self.output), show(&other.output));
            panic!(
                "the output differs from byte {same} on, {}\n  in one piece: .. {whole}\n  cut:          .. {cut}",
                how()
            );
        }
        let (whole, cut) = (self.end(), other.end());
        assert!(whole == cut, "the end differs, {}\n  in one piece: {whole}\n  cut: {cut}", how());
    }

    fn end(&self) -> String {
        let reset = if self.was_reset { ", reset" } else { "" };
        match &self.finished {
            None => format!("open{reset}"),
            Some(Finished { reason, error: None }) => format!("{reason:?}{reset}"),
            Some(Finished { reason, error: Some((kind, what)) }) => {
                format!("{reason:?}{reset}, {kind:?}: {what}")
            }
        }
    }
}

/// The number of bytes that a message shows of either side.
const SHOWN: usize = 40;

fn shorten_front(bytes: &[u8]) -> String {
    let shown = bytes.get(bytes.len().saturating_sub(SHOWN)..).unwrap_or_default();
    format!("{}b\"{}\"", if shown.len() < bytes.len() { ".." } else { "" }, shown.escape_ascii())
}

fn shorten_back(bytes: &[u8]) -> String {
    let shown = bytes.get(..SHOWN).unwrap_or(bytes);
    format!("b\"{}\"{}", shown.escape_ascii(), if shown.len() < bytes.len() { ".." } else { "" })
}
