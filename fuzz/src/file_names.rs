//! `files`: no name that is accepted leads out of the directory, and what is announced is
//! understood again.

use std::path::{Component, Path};

use crate::examples::files::name::{Announced, LONGEST_LINE, check};

pub fn run(data: &[u8]) {
    if let Ok(name) = std::str::from_utf8(data) {
        assert_eq!(check(name).is_ok(), is_plain(name), "{name:?}");
        if check(name).is_ok() {
            stays(name);
        }
    }
    let Ok(announced) = Announced::parse(data) else { return };
    stays(&announced.name);
    assert!(is_plain(&announced.name));
    assert!(announced.checksum.len() == 64 && blake_digits(&announced.checksum));
    let line = announced.line();
    let again = line.strip_suffix('\n').expect("a line");
    assert!(!again.contains('\n') && again.len() <= LONGEST_LINE, "{line:?}");
    let again = Announced::parse(again.as_bytes()).expect("our own line is refused");
    assert_eq!(again.name, announced.name);
    assert_eq!((again.size, again.replace), (announced.size, announced.replace));
    assert_eq!(again.checksum, announced.checksum);
}

fn blake_digits(checksum: &str) -> bool {
    checksum.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c))
}

/// Beside its goal a partial file lies, with a longer name.
fn stays(name: &str) {
    let dir = Path::new("/some/where");
    for name in [name.to_string(), format!(".{name}.0123456789abcdef.part")] {
        let path = dir.join(&name);
        assert_eq!(path.parent(), Some(dir), "{name:?}");
        assert_eq!(path.components().next_back(), Some(Component::Normal(name.as_ref())));
        assert!(name.len() <= 255 && !name.contains('\0'));
    }
}

/// The rules once more, each by itself.
fn is_plain(name: &str) -> bool {
    const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
    let stem = name.find('.').map_or(name, |dot| &name[..dot]).trim_end().to_lowercase();
    let is_port = (stem.starts_with("com") || stem.starts_with("lpt")) && stem.chars().count() == 4;
    !name.is_empty()
        && name.len() <= 180
        && !name.starts_with(['.', ' '])
        && !name.ends_with(['.', ' '])
        && !name.chars().any(|c| c.is_control() || "<>:\"/\\|?*".contains(c))
        && !DEVICES.contains(&stem.as_str())
        && !is_port
}
