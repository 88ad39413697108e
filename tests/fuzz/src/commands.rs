//! `kv`: the commands of a client, in any pieces, are those that a look at the whole finds.

use std::rc::Rc;

use socketserver::Input;

use crate::bytes::{Bytes, pieces};
use crate::examples::kv::large::{MAX_VALUE, PIECE};
use crate::examples::kv::memory::Memory;
use crate::examples::kv::number::integer;
use crate::examples::kv::parser::{Args, MAX_ARGS, MAX_COMMAND, Parser};
use crate::examples::kv::replies::Replies;
use crate::examples::kv::value;

#[derive(Debug, Default, Eq, PartialEq)]
struct Conversation {
    commands: Vec<Vec<Vec<u8>>>,
    fault: Option<String>,
    taken: usize,
}

pub fn run(data: &[u8]) {
    let mut choices = Bytes(data);
    let seed = choices.byte();
    let bytes = choices.0;
    let expected = of_the_whole(bytes);
    for seed in [0, 1, seed] {
        assert_eq!(piece_by_piece(bytes, seed), expected, "pieces {seed}");
    }
    numbers(bytes);
    for command in &expected.commands {
        write_and_read(command);
    }
    if let Some(fault) = &expected.fault {
        let mut replies = Replies::default();
        replies.error(fault);
        let line = replies.bytes.strip_suffix(b"\r\n").expect("a reply ends so");
        assert!(!line.iter().any(|byte| b"\r\n".contains(byte)), "{fault:?} is two lines");
    }
}

fn piece_by_piece(bytes: &[u8], seed: u8) -> Conversation {
    let (mut parser, mut found) = (Parser::default(), Conversation::default());
    let memory = Rc::new(Memory::new(1 << 30));
    let (mut taken, mut come) = (0, 0);
    for piece in pieces(bytes, seed) {
        come += piece.len();
        let mut input = Input::new(&bytes[taken..come]);
        loop {
            match parser.next(&mut input, &memory) {
                Ok(None) => break,
                Ok(Some(args)) => found.commands.push(words(&args)),
                Err(fault) => {
                    // Of a conversation that ends it does not matter what was taken.
                    return Conversation { fault: Some(fault.0), taken: 0, ..found };
                }
            }
            // Of a command with a large argument some is taken before it is complete.
            found.taken = come - input.len();
        }
        taken = come - input.len();
    }
    found
}

fn words(args: &Args<'_>) -> Vec<Vec<u8>> {
    let bytes = |nth| match args.value(nth) {
        value::ValueRef::Small(bytes) => bytes.to_vec(),
        value::ValueRef::Large(large) => large.pieces().flat_map(|piece| piece.to_vec()).collect(),
    };
    (0..args.len()).map(bytes).collect()
}

fn of_the_whole(bytes: &[u8]) -> Conversation {
    let mut found = Conversation::default();
    loop {
        match command(&bytes[found.taken..]) {
            Ok(None) => return found,
            Ok(Some((words, len))) => {
                found.commands.push(words);
                found.taken += len;
            }
            Err(fault) => return Conversation { fault: Some(fault), taken: 0, ..found },
        }
    }
}

type Command = (Vec<Vec<u8>>, usize);

fn command(rest: &[u8]) -> Result<Option<Command>, String> {
    let Some(first) = rest.first() else { return Ok(None) };
    if *first != b'*' {
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        let words = typed(line).ok_or("unbalanced quotes in request")?;
        return Ok(Some((words, end + 1)));
    }
    let wrong = || "invalid multibulk length".to_string();
    let Some((count, mut at)) = line_with_number(rest).ok_or_else(wrong)? else { return Ok(None) };
    if count > MAX_ARGS as i64 {
        return Err(wrong());
    }
    let (mut words, mut large) = (Vec::new(), 0);
    for _ in 0..count {
        let wrong = || "invalid bulk length".to_string();
        match rest.get(at) {
            None => return Ok(None),
            Some(b'$') => {}
            Some(kind) => return Err(format!("expected '$', got '{}'", kind.escape_ascii())),
        }
        let line = line_with_number(&rest[at..]).ok_or_else(wrong)?;
        let Some((len, head)) = line else { return Ok(None) };
        let len = usize::try_from(len).map_err(|_| wrong())?;
        if len > MAX_VALUE {
            return Err(wrong());
        }
        let (start, end) = (at + head, at + head + len);
        if len > PIECE {
            large += len;
        }
        if end + 2 - large > MAX_COMMAND {
            return Err("command too long".into());
        }
        match rest.get(end..end + 2) {
            None => return Ok(None),
            Some(b"\r\n") => {}
            Some(_) => return Err("expected the end of a bulk".into()),
        }
        words.push(rest[start..end].to_vec());
        at = end + 2;
    }
    Ok(Some((words, at)))
}

/// The words of a line as Redis takes them apart, byte by byte: what is between quotes is one word,
/// of which more may stand before the first quote, but nothing behind the second.
fn typed(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<Vec<u8>>, None);
    let mut at = 0;
    while let Some(&byte) = line.get(at) {
        at += 1;
        match quote {
            None if byte.is_ascii_whitespace() => words.extend(word.take()),
            None if byte == b'"' || byte == b'\'' => {
                quote = Some(byte);
                word.get_or_insert_default();
            }
            None => word.get_or_insert_default().push(byte),
            Some(mark) if byte == mark => {
                if line.get(at).is_some_and(|next| !next.is_ascii_whitespace()) {
                    return None;
                }
                quote = None;
            }
            Some(mark) => {
                let (byte, more) = unescaped(mark, byte, &line[at..]);
                word.get_or_insert_default().push(byte);
                at += more;
            }
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// A byte between quotes, and how many of those that follow belong to it.
fn unescaped(mark: u8, byte: u8, rest: &[u8]) -> (u8, usize) {
    let hex = |at: usize| rest.get(at).and_then(|digit| char::from(*digit).to_digit(16));
    match (byte, mark, rest.first()) {
        (b'\\', b'\'', Some(b'\'')) => (b'\'', 1),
        (b'\\', b'"', Some(b'x')) if hex(1).is_some() && hex(2).is_some() => {
            ((hex(1).unwrap() * 16 + hex(2).unwrap()) as u8, 3)
        }
        (b'\\', b'"', Some(next)) => {
            let known = [(b'n', b'\n'), (b'r', b'\r'), (b't', b'\t'), (b'b', 8), (b'a', 7)];
            (known.iter().find(|(name, _)| name == next).map_or(*next, |(_, byte)| *byte), 1)
        }
        _ => (byte, 0),
    }
}

/// The number of a line of at most 32 bytes and how long that is; `Some(None)` while it is not
/// complete, `None` when it is wrong.
fn line_with_number(rest: &[u8]) -> Option<Option<(i64, usize)>> {
    let line = &rest[..rest.len().min(32)];
    let Some(end) = line.iter().position(|byte| *byte == b'\n') else {
        return (line.len() < 32).then_some(None);
    };
    let digits = line[..end].get(1..)?.strip_suffix(b"\r")?;
    Some(Some((plain_number(digits)?, end + 1)))
}

/// A number that is written as a number is printed.
fn plain_number(digits: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(digits).ok()?;
    text.parse::<i64>().ok().filter(|number| number.to_string() == text)
}

fn numbers(bytes: &[u8]) {
    let digits = &bytes[..bytes.len().min(24)];
    assert_eq!(integer(digits), plain_number(digits), "{digits:?}");
    let mut choices = Bytes(bytes);
    let number = choices.number::<8>() as i64 >> (choices.byte() % 64);
    assert_eq!(integer(number.to_string().as_bytes()), Some(number));
}

/// The same words as an array are the same command.
fn write_and_read(words: &[Vec<u8>]) {
    let mut replies = Replies::default();
    replies.array(words.len());
    for word in words {
        replies.bulk(word);
    }
    let mut input = Input::new(&replies.bytes);
    let mut parser = Parser::default();
    let memory = Rc::new(Memory::new(1 << 30));
    let args = parser.next(&mut input, &memory).expect("our own array is refused");
    let args = args.expect("our own array is not complete");
    assert_eq!(self::words(&args), words);
    assert!(input.is_empty());
}
