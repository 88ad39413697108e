//! `kv`: the commands of a client, in any pieces, are those that a look at the whole finds.

use socketserver::Input;

use crate::bytes::{Bytes, pieces};
use crate::examples::kv::resp::{MAX_ARGS, MAX_BULK, MAX_COMMAND, Parser, Replies, integer};

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
    let (mut parser, mut found, mut come) = (Parser::default(), Conversation::default(), 0);
    for piece in pieces(bytes, seed) {
        come += piece.len();
        let mut input = Input::new(&bytes[found.taken..come]);
        loop {
            match parser.next(&mut input) {
                Ok(None) => break,
                Ok(Some(args)) => found.commands.push(args.skip(0).map(Vec::from).collect()),
                Err(fault) => {
                    // Of a conversation that ends it does not matter what was taken.
                    return Conversation { fault: Some(fault.0), taken: 0, ..found };
                }
            }
        }
        found.taken = come - input.len();
    }
    found
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
        let words = rest[..end].split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        return Ok(Some((words.map(Vec::from).collect(), end + 1)));
    }
    let wrong = || "invalid multibulk length".to_string();
    let Some((count, mut at)) = line_with_number(rest).ok_or_else(wrong)? else { return Ok(None) };
    if count > MAX_ARGS as i64 {
        return Err(wrong());
    }
    let mut words = Vec::new();
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
        if len > MAX_BULK {
            return Err(wrong());
        }
        let (start, end) = (at + head, at + head + len);
        if end + 2 > MAX_COMMAND {
            return Err("too long a command".into());
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
    let args = parser.next(&mut input).expect("our own array is refused");
    let args = args.expect("our own array is not complete");
    assert!(args.skip(0).eq(words.iter().map(Vec::as_slice)));
    assert!(input.is_empty());
}
