//! The incremental parser of a request's body.

use socketserver::Input;

use crate::chunk;
use crate::head::has_bare_lf;
use crate::request::Framing;
use crate::response::Status;

/// Longest line before a chunk, with its extensions, in bytes.
const CHUNK_LINE: usize = 256;
/// Most bytes of trailers.
const TRAILERS: usize = 4 << 10;

#[derive(Debug)]
pub(crate) struct Body {
    state: BodyState,
    /// Bytes that the body may still have.
    allowed: u64,
}

#[derive(Debug)]
enum BodyState {
    Length(u64),
    ChunkLine,
    Chunk(u64),
    ChunkEnd,
    /// Bytes that trailers may still have.
    Trailers(usize),
}

pub(crate) enum Piece<'a> {
    Data(&'a [u8]),
    /// The next piece is not received yet.
    More,
    End,
}

impl Body {
    pub(crate) fn new(framing: Framing, limit: u64) -> Result<Body, Status> {
        let state = match framing {
            Framing::Length(length) if length > limit => return Err(Status::CONTENT_TOO_LARGE),
            Framing::Length(length) => BodyState::Length(length),
            Framing::Chunked => BodyState::ChunkLine,
        };
        Ok(Body { state, allowed: limit })
    }

    /// Returns the next piece. Must not be called again after `End` or an error.
    pub(crate) fn next<'a>(&mut self, input: &mut Input<'a>) -> Result<Piece<'a>, Status> {
        loop {
            match &mut self.state {
                BodyState::Length(0) => return Ok(Piece::End),
                BodyState::Chunk(0) => self.state = BodyState::ChunkEnd,
                BodyState::Length(left) | BodyState::Chunk(left) => {
                    let n = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    let data = input.take(n).filter(|data| !data.is_empty());
                    *left -= n as u64;
                    return Ok(data.map_or(Piece::More, Piece::Data));
                }
                BodyState::ChunkEnd => match line(input, 0)? {
                    Some(_) => self.state = BodyState::ChunkLine,
                    None => return Ok(Piece::More),
                },
                BodyState::ChunkLine => match line(input, CHUNK_LINE)? {
                    Some(line) => self.begin_chunk(line)?,
                    None => return Ok(Piece::More),
                },
                BodyState::Trailers(left) => match line(input, *left)? {
                    Some([]) => return Ok(Piece::End),
                    Some(line) if chunk::is_field(line) => *left -= line.len(),
                    Some(_) => return Err(Status::BAD_REQUEST),
                    None => return Ok(Piece::More),
                },
            }
        }
    }

    fn begin_chunk(&mut self, line: &[u8]) -> Result<(), Status> {
        let size = chunk::size(line).ok_or(Status::BAD_REQUEST)?;
        self.allowed = self.allowed.checked_sub(size).ok_or(Status::CONTENT_TOO_LARGE)?;
        self.state = if size == 0 { BodyState::Trailers(TRAILERS) } else { BodyState::Chunk(size) };
        Ok(())
    }
}

/// Returns the line before CRLF; `None` if it is not complete. A bare CR or LF in it is an error,
/// because another parser could see two lines.
fn line<'a>(input: &mut Input<'a>, max: usize) -> Result<Option<&'a [u8]>, Status> {
    let rest = input.peek();
    let line = input.take_delimited(b"\r\n", max).map_err(|_| Status::BAD_REQUEST)?;
    let seen = line.unwrap_or(rest);
    let is_one = !seen.starts_with(b"\n") && !has_bare_lf(seen) && !line.is_some_and(has_cr);
    is_one.then_some(line).ok_or(Status::BAD_REQUEST)
}

fn has_cr(line: &[u8]) -> bool {
    line.contains(&b'\r')
}
