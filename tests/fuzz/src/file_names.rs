//! `files`: no name that is accepted leads out of the directory, and what is announced is
//! understood again.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path};

use crate::examples::files::name::{MAX_LINE, PutRequest, check};

pub fn run(data: &[u8]) {
    let name = OsStr::from_bytes(data);
    assert_eq!(check(name).is_ok(), is_plain(name), "{name:?}");
    if check(name).is_ok() {
        stays(name);
    }
    let Ok(announced) = PutRequest::parse(data) else { return };
    stays(&announced.name);
    assert!(is_plain(&announced.name));
    assert!(announced.checksum.len() == 64 && blake_digits(&announced.checksum));
    let line = announced.line();
    let again = line.strip_suffix(b"\n").expect("a line");
    assert!(!again.contains(&b'\n') && again.len() <= MAX_LINE, "{line:?}");
    let again = PutRequest::parse(again).expect("our own line is refused");
    assert_eq!(again.name, announced.name);
    assert_eq!((again.size, again.replace), (announced.size, announced.replace));
    assert_eq!(again.checksum, announced.checksum);
}

fn blake_digits(checksum: &str) -> bool {
    checksum.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c))
}

/// Beside its goal a partial file lies, with a longer name.
fn stays(name: &OsStr) {
    let dir = Path::new("/some/where");
    let partial = [b".", name.as_bytes(), b".", &[b'0'; 64], b".part"].concat();
    for name in [name.to_os_string(), OsString::from_vec(partial)] {
        let path = dir.join(&name);
        assert_eq!(path.parent(), Some(dir), "{name:?}");
        assert_eq!(path.components().next_back(), Some(Component::Normal(name.as_ref())));
        assert!(name.len() <= 255 && !name.as_bytes().contains(&0));
    }
}

/// The rules once more, each by itself.
fn is_plain(name: &OsStr) -> bool {
    const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
    const UNSEEN: [(u32, u32); 9] = [
        (0xad, 0xad),
        (0x61c, 0x61c),
        (0x180e, 0x180e),
        (0x200b, 0x200f),
        (0x2028, 0x202e),
        (0x2060, 0x206f),
        (0xfeff, 0xfeff),
        (0xe0000, 0xe007f),
        (0x7f, 0x9f),
    ];
    let bytes = name.len();
    let name = name.to_string_lossy();
    let stem = name.find('.').map_or(&*name, |dot| &name[..dot]).trim_end().to_lowercase();
    let is_port = (stem.starts_with("com") || stem.starts_with("lpt")) && stem.chars().count() == 4;
    let unseen = |c: char| UNSEEN.iter().any(|(from, to)| (*from..=*to).contains(&u32::from(c)));
    bytes > 0
        && bytes <= 180
        && !name.starts_with(['.', ' '])
        && !name.ends_with(['.', ' '])
        && !name.chars().any(|c| c.is_control() || unseen(c) || "<>:\"/\\|?*".contains(c))
        && !DEVICES.contains(&stem.as_str())
        && !is_port
}
