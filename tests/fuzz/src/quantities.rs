//! Sizes and durations: what is understood means what it says, and is understood again when printed.

use std::time::Duration;

use crate::bytes::Bytes;
use crate::units;

const UNITS: [(&str, u128); 12] = [
    ("", 1),
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("PiB", 1 << 50),
];

pub fn run(data: &[u8]) {
    let mut choices = Bytes(data);
    match choices.below(4) {
        0 => whole_size(&mut choices),
        1 => any_duration(&mut choices),
        _ => {
            let Ok(text) = std::str::from_utf8(choices.0) else { return };
            any_text(text);
        }
    }
}

/// Digits and a unit are exactly their product.
fn whole_size(choices: &mut Bytes<'_>) {
    let (name, unit) = UNITS[choices.below(UNITS.len())];
    let gap = ["", " "][choices.below(2)];
    let number = choices.number::<8>() >> (choices.byte() % 64);
    let text = format!("{number}{gap}{name}");
    let bytes = u128::from(number) * unit;
    let found = units::size(&text);
    if bytes == 0 || bytes >= u128::from(u64::MAX) {
        assert!(found.is_err(), "{text} is {found:?}");
    } else {
        assert_eq!(found.map(|size| size as u128), Ok(bytes), "{text}");
    }
}

fn any_duration(choices: &mut Bytes<'_>) {
    let seconds = choices.number::<8>() >> (choices.byte() % 64);
    let nanos = u32::try_from(choices.number::<4>() % 1_000_000_000).unwrap_or(0);
    let duration = Duration::new(seconds, nanos);
    let text = humantime::format_duration(duration).to_string();
    let found = units::duration(&text);
    if duration.is_zero() {
        assert!(found.is_err(), "{text}");
    } else {
        assert_eq!(found, Ok(duration), "{text}");
    }
}

fn any_text(text: &str) {
    match units::size(text) {
        Ok(size) => {
            assert!(size > 0 && size < usize::MAX);
            assert!(text.contains(|c: char| c.is_ascii_digit()), "{text:?} is {size}");
            assert_eq!(units::size(&size.to_string()), Ok(size), "{text:?}");
        }
        Err(why) => assert!(!why.is_empty() && !text.trim().parse::<u32>().is_ok_and(|n| n > 0)),
    }
    match units::duration(text) {
        Ok(duration) => {
            assert!(!duration.is_zero());
            assert!(text.contains(|c: char| c.is_ascii_digit()), "{text:?} is {duration:?}");
            let printed = humantime::format_duration(duration).to_string();
            assert_eq!(units::duration(&printed), Ok(duration), "{text:?}");
        }
        Err(why) => assert!(!why.is_empty()),
    }
}
