//! Durations and sizes as people write them, and nothing else.

use std::time::Duration;

use bytesize::ByteSize;

/// `2s`, `500ms`, `1m 30s`; a unit is required, and nothing is no duration.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write it like 500ms, 2s or 1m"))?;
    if duration.is_zero() {
        return Err("it must be longer than nothing".into());
    }
    Ok(duration)
}

/// The same, or `0s`.
pub(crate) fn duration_or_none(text: &str) -> Result<Duration, String> {
    let is_none = humantime::parse_duration(text).is_ok_and(|duration| duration.is_zero());
    if is_none { Ok(Duration::ZERO) } else { duration(text) }
}

/// `4096`, `64KiB`, `1MiB`; whole bytes, and at least one.
pub(crate) fn size(text: &str) -> Result<usize, String> {
    let hint = "write it like 4096, 64KiB or 1MiB";
    let size: ByteSize = text.trim().parse().map_err(|_| format!("not a size; {hint}"))?;
    match usize::try_from(size.as_u64()) {
        // The parser stops at the largest number instead of refusing a larger one.
        Ok(usize::MAX) | Err(_) => Err("larger than this machine can count".into()),
        Ok(0) => Err("it must be at least one byte".into()),
        Ok(size) => Ok(size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_a_length() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("1m"), Ok(Duration::from_secs(60)));
        for bad in ["", "2", "-2s", "0s", "2 parsecs", "1e3s", "99999999999999999999s", "s"] {
            assert!(duration(bad).is_err(), "{bad} passed");
            assert!(duration_or_none(bad).is_err() || bad == "0s", "{bad} passed");
        }
        assert_eq!(duration_or_none("0s"), Ok(Duration::ZERO));
        assert_eq!(duration_or_none("2s"), Ok(Duration::from_secs(2)));
    }

    #[test]
    fn sizes_are_whole_and_finite() {
        assert_eq!(size("4096"), Ok(4_096));
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("1MiB"), Ok(1 << 20));
        assert_eq!(size("1kB"), Ok(1_000));
        for bad in ["", "-1", "0", "0KiB", "KiB", "1 parsec", "99999999999999999999", "99999999TiB"]
        {
            assert!(size(bad).is_err(), "{bad} passed");
        }
    }
}
