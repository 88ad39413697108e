//! The request line of an upload, and which file names are acceptable.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Longest name in bytes; file systems allow 255, with what a partial file's name adds.
const MAX_NAME: usize = 180;
/// Longest line of the protocol in bytes.
pub(crate) const MAX_LINE: usize = 512;
pub(crate) const CHECKSUM_DIGITS: usize = 64;

/// An upload as the client requests it.
#[derive(Clone, Debug)]
pub(crate) struct PutRequest {
    /// Any bytes that [`check`] accepts; on Unix a name need not be UTF-8.
    pub(crate) name: OsString,
    pub(crate) size: u64,
    /// BLAKE3 in lower-case hexadecimal digits.
    pub(crate) checksum: String,
    pub(crate) replace: bool,
}

impl PutRequest {
    pub(crate) fn parse(line: &[u8]) -> io::Result<PutRequest> {
        let mut words = line.rsplitn(4, |byte| *byte == b' ');
        let replace = match words.next() {
            Some(b"new") => false,
            Some(b"replace") => true,
            _ => return Err(bad("expected put NAME SIZE BLAKE3 new|replace")),
        };
        let mut word = || words.next().and_then(|word| std::str::from_utf8(word).ok());
        let checksum = word().filter(|word| is_checksum(word));
        let checksum = checksum.ok_or_else(|| bad("invalid checksum"))?;
        let size = word().and_then(|size| size.parse().ok());
        let size = size.ok_or_else(|| bad("invalid size"))?;
        let name = words.next().and_then(|word| word.strip_prefix(b"put "));
        let name = name.ok_or_else(|| bad("expected put NAME SIZE BLAKE3 new|replace"))?;
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

/// Checks that a name is one path component on every system: no path separator, no device, no
/// hidden file.
pub(crate) fn check(name: &OsStr) -> io::Result<()> {
    let bytes = name.as_bytes();
    // Invalid UTF-8 becomes U+FFFD here, which is accepted, as such bytes are.
    let shown = name.to_string_lossy();
    let stem = shown.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let numbered = ["COM", "LPT"]
        .iter()
        .any(|port| stem.strip_prefix(port).is_some_and(|rest| rest.chars().count() == 1));
    if bytes.len() > MAX_NAME {
        let len = bytes.len();
        return Err(bad(&format!("invalid name: {len} bytes, at most {MAX_NAME} are allowed")));
    }
    let what = if bytes.is_empty() {
        "it is empty"
    } else if bytes.starts_with(b".") {
        "it starts with a dot"
    } else if shown.chars().any(is_unseen) {
        "it has an invisible character, such as a newline or a tab"
    } else if shown.contains(|c| r#"/\:*?"<>|"#.contains(c)) {
        r#"it has one of / \ : * ? " < > |"#
    } else if shown.ends_with(['.', ' ']) || shown.starts_with(' ') {
        "it ends with a dot, or starts or ends with a space"
    } else if numbered || ["CON", "PRN", "AUX", "NUL"].contains(&stem.as_str()) {
        "it is the name of a device"
    } else {
        return Ok(());
    };
    Err(bad(&format!("invalid name: {what}")))
}

/// Whether `c` is invisible or changes the text direction, which makes one name look like another.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}')
}

pub(crate) fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}
