//! The local time zone, as `TZ` names it.
//!
//! What a variable of the environment names may be anything: a device that gives bytes for ever, a pipe
//! that gives none, a directory with all files of the machine. So only a file is read, and only as much
//! of it as a time zone has; for all else the time is that of UTC.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use jiff::tz::TimeZone;

/// The longest file of a time zone that is read; those of the tz database are shorter than 4 KiB.
const MAX_FILE: u64 = 1 << 20;

/// Looked for once: the environment of a process does not change.
pub(crate) fn local() -> TimeZone {
    static LOCAL: OnceLock<TimeZone> = OnceLock::new();

    let found = LOCAL.get_or_init(|| {
        if !cfg!(unix) {
            return TimeZone::system();
        }
        let named = std::env::var_os("TZ");
        of(named.as_deref()).unwrap_or_else(|| {
            if let Some(named) = named {
                log::warn!("TZ={named:?} is no time zone; the time of day is that of UTC");
            }
            TimeZone::UTC
        })
    });
    found.clone()
}

/// The time zone of a value of `TZ`: a rule of POSIX, a name of the tz database, or a path (tzset(3)).
fn of(named: Option<&OsStr>) -> Option<TimeZone> {
    let Some(named) = named else { return read(Path::new("/etc/localtime")) };
    let text = named.to_str().map(|text| text.strip_prefix(':').unwrap_or(text));
    match text {
        Some("") => return Some(TimeZone::UTC),
        Some(text) => {
            if let Ok(rule) = TimeZone::posix(text) {
                return Some(rule);
            }
        }
        None => {}
    }
    // A path that is absolute replaces the directory.
    let directory = std::env::var_os("TZDIR").unwrap_or_else(|| "/usr/share/zoneinfo".into());
    read(&PathBuf::from(directory).join(text.map_or(named, OsStr::new)))
}

fn read(path: &Path) -> Option<TimeZone> {
    let metadata = path.metadata().ok()?;
    // Of files in /proc, some of which give bytes for ever, the length is 0.
    if !metadata.is_file() || !(1..=MAX_FILE).contains(&metadata.len()) {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_FILE).read_to_end(&mut bytes).ok()?;
    TimeZone::tzif("local", &bytes).ok()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn of_text(text: &str) -> Option<TimeZone> {
        of(Some(OsStr::new(text)))
    }

    #[test]
    fn rules_and_nothing_are_time_zones_and_devices_are_none() {
        assert_eq!(of_text(""), Some(TimeZone::UTC));
        for rule in ["EST5EDT,M3.2.0,M11.1.0", ":UTC0", "<+03>-3"] {
            assert!(of_text(rule).is_some(), "{rule}");
        }
        for device in ["/dev/zero", ":/dev/zero", "../../../dev/zero", "/proc/self/status", "/"] {
            assert!(of_text(device).is_none(), "{device}");
        }
    }

    #[test]
    fn a_file_is_read_and_a_name_is_looked_up() {
        let path = Path::new("/usr/share/zoneinfo/Asia/Tokyo");
        if !path.is_file() {
            println!("skipped: tzdata is not installed");
            return;
        }
        for text in ["Asia/Tokyo", ":Asia/Tokyo", "/usr/share/zoneinfo/Asia/Tokyo"] {
            let zone = of_text(text).unwrap();
            let noon = jiff::Timestamp::UNIX_EPOCH.to_zoned(zone);
            assert_eq!(noon.strftime("%H %Z").to_string(), "09 JST", "{text}");
        }
    }
}
