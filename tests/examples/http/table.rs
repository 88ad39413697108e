//! Requests by the hundred, from tables: those of `Http11Probe` (`probe.txt`), and what RFC 9110 and
//! RFC 9112 have an origin server do (`rules.txt`). The first says how a line is read.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use super::{site, with_files};
use crate::program::Program;

/// One line of a table.
struct Case<'a> {
    name: &'a str,
    accepts: &'a str,
    gives: Vec<&'a str>,
    steps: Vec<&'a str>,
}

/// Those that are sent, and the names of those that do not apply.
fn cases(table: &str) -> (Vec<Case<'_>>, Vec<&str>) {
    let (mut cases, mut others) = (Vec::new(), Vec::new());
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut fields = line.split('\t');
        let [name, accepts, gives] = [(); 3].map(|()| fields.next().unwrap_or_default());
        if accepts == "n/a" {
            assert!(!gives.is_empty(), "{name} does not say why");
            others.push(name);
            continue;
        }
        let request = fields.next().unwrap_or_default();
        let (gives, steps) = (gives.split(" || ").collect(), request.split(" || ").collect());
        assert_eq!(fields.next(), None, "{name} has too many fields");
        cases.push(Case { name, accepts, gives, steps });
    }
    (cases, others)
}

/// The bytes of a step: what is written with a backslash or in braces is put in.
fn bytes(text: &str, known: &[(&str, String)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            '\\' => {
                let escape = &rest[1..2];
                bytes.push(match escape {
                    "r" => b'\r',
                    "n" => b'\n',
                    "t" => b'\t',
                    "0" => 0,
                    "x" => u8::from_str_radix(&rest[2..4], 16).unwrap(),
                    "\\" => b'\\',
                    "\"" => b'"',
                    _ => panic!("{escape} is no escape"),
                });
                if escape == "x" { 4 } else { 2 }
            }
            '{' => {
                let end = rest.find('}').unwrap();
                bytes.extend(braced(&rest[1..end], known));
                end + 1
            }
            _ => {
                bytes.extend_from_slice(&rest.as_bytes()[..first.len_utf8()]);
                first.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    bytes
}

fn braced(name: &str, known: &[(&str, String)]) -> Vec<u8> {
    if name == "garbage" {
        return (0..=255_u8).map(|nth| nth.wrapping_mul(73)).filter(|b| *b != b'\n').collect();
    }
    if let Some((what, times)) = name.rsplit_once('*') {
        return bytes(what, known).repeat(times.parse().unwrap());
    }
    let found = known.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("{name} is not known")).1.clone().into_bytes()
}

/// An answer, with those before it that were not the last word.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) interim: usize,
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let mut named = fields.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.trim())
    }
}

/// Reads one answer to its end; `None` when the connection ended before it.
pub(crate) fn read<S: Read>(stream: &mut BufReader<S>, is_for_head: bool) -> Option<Answer> {
    let mut interim = 0;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            match stream.read_line(&mut head) {
                Ok(0) => {
                    assert_eq!(head, "", "half a head");
                    return None;
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error} behind {head:?}"),
            }
        }
        let line = head.lines().next().unwrap();
        assert!(line.starts_with("HTTP/1.1 ") && line[12..].starts_with(' '), "{line}");
        let mut answer =
            Answer { interim, status: line[9..12].parse().unwrap(), head, body: Vec::new() };
        if answer.status < 200 {
            interim += 1;
            continue;
        }
        let length = answer.field("Content-Length").map_or(0, |length| length.parse().unwrap());
        let has_body = !is_for_head && ![204, 304].contains(&answer.status);
        answer.body.resize(if has_body { length } else { 0 }, 0);
        stream.read_exact(&mut answer.body).unwrap();
        return Some(answer);
    }
}

/// Nothing more comes. A reset is an end like another.
fn ends(stream: &mut BufReader<TcpStream>) -> bool {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => rest.is_empty(),
        Err(error) => error.kind() == ErrorKind::ConnectionReset && rest.is_empty(),
    }
}

/// Plays one case and says what is wrong with it.
fn play(server: &Program, case: &Case<'_>) -> Result<(), String> {
    let mut stream = BufReader::new(server.client());
    let mut known = Vec::new();
    for (step, gives) in case.steps.iter().zip(&case.gives) {
        let request = bytes(step, &known);
        // It may answer and close before it has seen everything.
        let _ = stream.get_mut().write_all(&request);
        if *gives == "silence" {
            let _ = stream.get_ref().shutdown(Shutdown::Write);
            return ends(&mut stream).then_some(()).ok_or("it was not silent".into());
        }
        let answer = read(&mut stream, request.starts_with(b"HEAD ")).ok_or("no answer")?;
        judge(gives, &answer)?;
        if gives.split(' ').any(|word| word == "closes") {
            return ends(&mut stream).then_some(()).ok_or("more came, or it did not close".into());
        }
        let etag = answer.field("ETag").unwrap_or_default();
        known = vec![
            ("etag", etag.to_string()),
            ("unquoted", etag.trim_matches('"').to_string()),
            ("modified", answer.field("Last-Modified").unwrap_or_default().to_string()),
        ];
    }
    let last = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.get_mut().write_all(last).map_err(|error| error.to_string())?;
    let answer = read(&mut stream, false).ok_or("the next request has no answer")?;
    let is_right = answer.body == b"hello, world" && ends(&mut stream);
    is_right.then_some(()).ok_or(format!("the next request is answered {answer:?}"))
}

/// Whether an answer is as the words say.
fn judge(words: &str, answer: &Answer) -> Result<(), String> {
    for word in words.split(' ') {
        let text = String::from_utf8_lossy(&answer.body);
        let (kind, value) = word.split_once('=').unwrap_or((word, ""));
        let is_right = match kind {
            "has" => answer.field(value).is_some(),
            "no" => answer.field(value).is_none(),
            "body" => text == value.replace('_', " ").replace('-', ""),
            "without" => !text.contains(value),
            "continues" => answer.interim == 1,
            "closes" => answer.field("Connection") == Some("close"),
            "date" => answer.field("Date").is_some_and(is_date),
            status => status.parse() == Ok(answer.status),
        };
        if !is_right {
            return Err(format!("not {word}: {answer:?}"));
        }
    }
    let has_date = answer.field("Date").is_some();
    has_date.then_some(()).ok_or(format!("no date: {answer:?}"))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, and nothing else that is read as a date.
fn is_date(text: &str) -> bool {
    httpdate::parse_http_date(text).is_ok_and(|time| httpdate::fmt_http_date(time) == text)
}

fn play_all(table: &str) -> (usize, usize) {
    let dir = site();
    let server = with_files(&dir);
    let (cases, others) = cases(table);
    let failed: Vec<String> = cases
        .iter()
        .filter_map(|case| play(&server, case).err().map(|why| format!("{}: {why}", case.name)))
        .collect();
    assert!(failed.is_empty(), "{} of them:\n{}", failed.len(), failed.join("\n"));
    println!("{} as they should be; do not apply: {}", cases.len(), others.join(", "));
    server.stop();
    (cases.len(), others.len())
}

#[test]
fn none_of_the_215_cases_of_http11probe_fails() {
    let table = include_str!("probe.txt");
    let status = |gives: &str| gives.split(' ').next().unwrap_or_default().to_string();
    for case in cases(table).0 {
        // Most look at the first answer, and those about caching at the last.
        let given =
            if case.name.starts_with("CAP") { case.gives.last() } else { case.gives.first() };
        let given = status(given.unwrap());
        let is_accepted = |word: &str| match word.strip_prefix("not-") {
            Some(not) => !given.starts_with(not.trim_end_matches("xx")),
            None => given == word || word == "2xx" && given.starts_with('2'),
        };
        assert!(case.accepts.split(' ').any(is_accepted), "{}: {given}", case.name);
    }
    let (played, others) = play_all(table);
    assert_eq!(played + others, 215);
}

#[test]
fn what_the_rfcs_have_an_origin_server_do_is_done() {
    let (played, others) = play_all(include_str!("rules.txt"));
    assert!(played >= 100 && others >= 15, "{played} and {others}");
}
