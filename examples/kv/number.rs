//! Integers in the notation of Redis.

/// Parses an integer. `None` for any other notation than the one Redis prints: a plus sign, leading
/// zeros, an overflow.
pub(crate) fn integer(digits: &[u8]) -> Option<i64> {
    let (sign, digits) = match digits.strip_prefix(b"-") {
        Some(digits) => (-1, digits),
        None => (1, digits),
    };
    if let ([b'0', _, ..] | [], _) | ([b'0'], -1) = (digits, sign) {
        return None;
    }
    digits.iter().try_fold(0_i64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(sign * digit)
    })
}
