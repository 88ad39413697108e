//! Glob patterns as in Redis: `*`, `?`, `[a-c]`, `[^a]` and `\`.

/// Whether `pattern` matches `name`, ignoring case. Backtracks to the last `*` only, so the time is
/// at most proportional to the product of the two lengths.
pub(crate) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut pattern, mut name) = (pattern, name);
    let mut last_star = None;
    loop {
        if let [b'*', behind @ ..] = pattern {
            last_star = Some((behind, name));
            pattern = behind;
            continue;
        }
        let step = match (one(pattern), name) {
            (None, []) => return true,
            (Some((fits, behind)), [byte, rest @ ..]) if fits.accepts(*byte) => {
                Some((behind, rest))
            }
            _ => None,
        };
        (pattern, name) = match (step, last_star) {
            (Some(step), _) => step,
            (None, Some((behind, [_, rest @ ..]))) => {
                last_star = Some((behind, rest));
                (behind, rest)
            }
            _ => return false,
        };
    }
}

/// Matches one byte.
enum PatternItem<'p> {
    Any,
    Byte(u8),
    Class { bytes: &'p [u8], accepts: bool },
}

/// Splits the first item off a pattern that does not begin with a star; `None` for an empty
/// pattern.
fn one(pattern: &[u8]) -> Option<(PatternItem<'_>, &[u8])> {
    Some(match pattern {
        [] => return None,
        [b'?', behind @ ..] => (PatternItem::Any, behind),
        [b'[', b'^', class @ ..] => until_bracket(class, false),
        [b'[', class @ ..] => until_bracket(class, true),
        [b'\\', byte, behind @ ..] | [byte, behind @ ..] => (PatternItem::Byte(*byte), behind),
    })
}

/// Splits a class off the pattern. Without its bracket it extends to the end of the pattern.
fn until_bracket(class: &[u8], accepts: bool) -> (PatternItem<'_>, &[u8]) {
    let mut end = 0;
    while let Some(byte) = class.get(end).filter(|byte| **byte != b']') {
        end += if *byte == b'\\' { 2 } else { 1 };
    }
    let (bytes, behind) = class.split_at(end.min(class.len()));
    (PatternItem::Class { bytes, accepts }, behind.get(1..).unwrap_or_default())
}

impl PatternItem<'_> {
    fn accepts(&self, byte: u8) -> bool {
        match self {
            PatternItem::Any => true,
            PatternItem::Byte(wanted) => byte.eq_ignore_ascii_case(wanted),
            PatternItem::Class { bytes, accepts } => {
                is_in(bytes, byte.to_ascii_lowercase()) == *accepts
            }
        }
    }
}

fn is_in(mut class: &[u8], byte: u8) -> bool {
    loop {
        class = match class {
            [] => return false,
            [b'\\', one, rest @ ..] if one.to_ascii_lowercase() != byte => rest,
            [first, b'-', last, rest @ ..] => {
                let ends = [first.to_ascii_lowercase(), last.to_ascii_lowercase()];
                let [first, last] = if ends[0] <= ends[1] { ends } else { [ends[1], ends[0]] };
                if (first..=last).contains(&byte) {
                    return true;
                }
                rest
            }
            [one, rest @ ..] if one.to_ascii_lowercase() != byte => rest,
            _ => return true,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_say_what_redis_says() {
        for (pattern, name, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("a", "A", true),
            ("?", "", false),
            ("max*", "maxmemory-policy", true),
            ("*m*y", "maxmemory-policy", true),
            ("*m*z", "maxmemory-policy", false),
            ("a*b*c", "aXbXbXc", true),
            ("a**b", "ab", true),
            ("[a-c]x", "bx", true),
            ("[c-a]x", "Bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("[a\\]]", "]", true),
            ("[a", "a", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("\\", "\\", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    /// Backtracking to every star would take exponential time.
    #[test]
    fn many_stars_take_no_longer_than_one_length_times_the_other() {
        let pattern = "a*".repeat(1_000) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(5_000).as_bytes()));
    }
}
