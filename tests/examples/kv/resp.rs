//! RESP, the language of Redis, as raw as a test wants it.

use std::io::Write;
use std::net::Shutdown;

use crate::command::{read_to_end, tcp};

/// Sends all of it, and gives everything that is answered.
pub(crate) fn ask(addr: &str, bytes: &[u8]) -> String {
    let mut stream = tcp(addr);
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    String::from_utf8_lossy(&read_to_end(&mut stream)).into_owned()
}

/// A command as clients send it.
pub(crate) fn encode(words: &[&str]) -> Vec<u8> {
    let bulks = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
    format!("*{}\r\n{}", words.len(), bulks.collect::<String>()).into_bytes()
}

pub(crate) fn lines(text: &str) -> Vec<&str> {
    text.split("\r\n").filter(|line| !line.is_empty()).collect()
}

/// The answers to several lines, one behind the other on one connection.
pub(crate) fn converse(addr: &str, commands: &[&str]) -> String {
    let split = |line: &str| encode(&line.split(' ').collect::<Vec<_>>());
    let bytes: Vec<u8> = commands.iter().flat_map(|line| split(line)).collect();
    lines(&ask(addr, &bytes)).join(" ")
}
