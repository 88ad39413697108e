//! What is asked for in one line, and which names are fit for a file.

use std::io;

/// Longer ones would leave no room for what is put around them while they are not complete.
const LONGEST_NAME: usize = 180;
/// No line of the protocol is longer.
pub(crate) const LONGEST_LINE: usize = 512;
const CHECKSUM_DIGITS: usize = 64;

/// One upload, as the client announces it.
#[derive(Clone, Debug)]
pub(crate) struct Announced {
    pub(crate) name: String,
    pub(crate) size: u64,
    /// BLAKE3 in small hexadecimal digits.
    pub(crate) checksum: String,
    pub(crate) replace: bool,
}

impl Announced {
    pub(crate) fn parse(line: &[u8]) -> io::Result<Announced> {
        let line = std::str::from_utf8(line).map_err(|_| bad("the line is not UTF-8"))?;
        let mut words = line.rsplitn(4, ' ');
        let replace = match words.next() {
            Some("new") => false,
            Some("replace") => true,
            _ => return Err(bad("the line does not end with new or replace")),
        };
        let checksum = words.next().unwrap_or_default();
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if checksum.len() != CHECKSUM_DIGITS || !checksum.bytes().all(is_digit) {
            return Err(bad("the checksum is none"));
        }
        let size = words.next().unwrap_or_default();
        let size = size.parse().map_err(|_| bad("the size is no number"))?;
        let name = words.next().and_then(|word| word.strip_prefix("put "));
        let name = name.ok_or_else(|| bad("the line does not begin with put"))?;
        check(name)?;
        Ok(Announced { name: name.into(), size, checksum: checksum.into(), replace })
    }

    pub(crate) fn line(&self) -> String {
        let Announced { name, size, checksum, replace } = self;
        format!("put {name} {size} {checksum} {}\n", if *replace { "replace" } else { "new" })
    }
}

/// One plain component, on every system: no way out of the directory, no device, nothing hidden.
pub(crate) fn check(name: &str) -> io::Result<()> {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let numbered = ["COM", "LPT"]
        .iter()
        .any(|port| stem.strip_prefix(port).is_some_and(|rest| rest.chars().count() == 1));
    let what = if name.is_empty() {
        "it is empty"
    } else if name.len() > LONGEST_NAME {
        "it is too long"
    } else if name.starts_with('.') {
        "it begins with a dot"
    } else if name.chars().any(|c| c.is_control() || r#"/\:*?"<>|"#.contains(c)) {
        "it has a character that no name may have"
    } else if name.ends_with(['.', ' ']) || name.starts_with(' ') {
        "it ends with a dot, or has a space at an end"
    } else if numbered || ["CON", "PRN", "AUX", "NUL"].contains(&stem.as_str()) {
        "it is reserved"
    } else {
        return Ok(());
    };
    Err(bad(&format!("the name is refused: {what}")))
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}
