//! What is asked for in one line, and which names are fit for a file.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Bytes. A longer one would leave no room for what is put around it while it is not complete.
const MAX_NAME: usize = 180;
/// No line of the protocol is longer.
pub(crate) const MAX_LINE: usize = 512;
pub(crate) const CHECKSUM_DIGITS: usize = 64;

/// One upload, as the client announces it.
#[derive(Clone, Debug)]
pub(crate) struct PutRequest {
    /// Any bytes that [`check`] lets pass; on Unix a name need not be UTF-8.
    pub(crate) name: OsString,
    pub(crate) size: u64,
    /// BLAKE3 in small hexadecimal digits.
    pub(crate) checksum: String,
    pub(crate) replace: bool,
}

impl PutRequest {
    pub(crate) fn parse(line: &[u8]) -> io::Result<PutRequest> {
        let mut words = line.rsplitn(4, |byte| *byte == b' ');
        let replace = match words.next() {
            Some(b"new") => false,
            Some(b"replace") => true,
            _ => return Err(bad("the line does not end with new or replace")),
        };
        let mut word = || words.next().and_then(|word| std::str::from_utf8(word).ok());
        let checksum = word().filter(|word| is_checksum(word));
        let checksum = checksum.ok_or_else(|| bad("the checksum is none"))?;
        let size = word().and_then(|size| size.parse().ok());
        let size = size.ok_or_else(|| bad("the size is no number"))?;
        let name = words.next().and_then(|word| word.strip_prefix(b"put "));
        let name = name.ok_or_else(|| bad("the line does not begin with put"))?;
        let name = OsString::from_vec(name.to_vec());
        check(&name)?;
        Ok(PutRequest { name, size, checksum: checksum.into(), replace })
    }

    pub(crate) fn line(&self) -> Vec<u8> {
        let PutRequest { name, size, checksum, replace } = self;
        let how = if *replace { "replace" } else { "new" };
        [b"put ", name.as_bytes(), format!(" {size} {checksum} {how}\n").as_bytes()].concat()
    }
}

pub(crate) fn is_checksum(word: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    word.len() == CHECKSUM_DIGITS && word.bytes().all(is_digit)
}

/// One plain component, on every system: no way out of the directory, no device, nothing hidden.
pub(crate) fn check(name: &OsStr) -> io::Result<()> {
    let bytes = name.as_bytes();
    // What is no UTF-8 is replaced here by a character that is allowed, as such bytes are.
    let shown = name.to_string_lossy();
    let stem = shown.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let numbered = ["COM", "LPT"]
        .iter()
        .any(|port| stem.strip_prefix(port).is_some_and(|rest| rest.chars().count() == 1));
    if bytes.len() > MAX_NAME {
        let len = bytes.len();
        return Err(bad(&format!(
            "the name is refused: it has {len} bytes, and {MAX_NAME} is the most"
        )));
    }
    let what = if bytes.is_empty() {
        "it is empty"
    } else if bytes.starts_with(b".") {
        "it begins with a dot"
    } else if shown.chars().any(is_unseen) {
        "it has a character that is not seen, as a newline or a tab"
    } else if shown.contains(|c| r#"/\:*?"<>|"#.contains(c)) {
        r#"it has one of / \ : * ? " < > |"#
    } else if shown.ends_with(['.', ' ']) || shown.starts_with(' ') {
        "it ends with a dot, or has a space at an end"
    } else if numbered || ["CON", "PRN", "AUX", "NUL"].contains(&stem.as_str()) {
        "it is reserved"
    } else {
        return Ok(());
    };
    Err(bad(&format!("the name is refused: {what}")))
}

/// Characters that are not seen, or change the direction of those that are: with them a name can
/// look like another one.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}')
}

pub(crate) fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}
