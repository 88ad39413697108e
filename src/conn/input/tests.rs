//! Every way in which framing may go wrong, and that it stays linear.

use super::*;

mod model;

type Parse<'p> = &'p dyn Fn(&mut Input<'_>) -> io::Result<Option<Vec<u8>>>;

/// Feeds `stream` in pieces that end at `cuts` and collects what `parse` takes, what is left, and
/// the error that ended it. `patient` is what the reactor is: it shows nothing while more is needed.
fn parse_in_pieces(
    stream: &[u8],
    cuts: &[usize],
    patient: bool,
    parse: Parse<'_>,
) -> (Vec<Vec<u8>>, Vec<u8>, Option<String>) {
    let mut unconsumed = Unconsumed::default();
    let mut parsed = Vec::new();
    let mut from = 0;
    for &cut in cuts.iter().chain([&stream.len()]) {
        unconsumed.append(&stream[from..cut]);
        from = cut;
        if patient && unconsumed.needs_more() {
            continue;
        }
        let mut input = unconsumed.input();
        loop {
            match parse(&mut input) {
                Ok(Some(piece)) => parsed.push(piece),
                Ok(None) => break,
                Err(error) => return (parsed, Vec::new(), Some(error.to_string())),
            }
        }
        let left = input.remainder();
        unconsumed.store_remainder(left, 0);
    }
    (parsed, unconsumed.input().peek().to_vec(), None)
}

/// Cuts `stream` at every two places, and everywhere; all must give what the whole gives.
fn parse_every_chunking(
    stream: &[u8],
    parse: Parse<'_>,
) -> (Vec<Vec<u8>>, Vec<u8>, Option<String>) {
    let whole = parse_in_pieces(stream, &[], false, parse);
    let all: Vec<usize> = (1..stream.len()).collect();
    for patient in [false, true] {
        assert_eq!(parse_in_pieces(stream, &all, patient, parse), whole, "byte by byte");
        for first in 0..stream.len() {
            for second in first..stream.len() {
                let cut = parse_in_pieces(stream, &[first, second], patient, parse);
                assert_eq!(cut, whole, "cut at {first} and {second}, patient: {patient}");
            }
        }
    }
    whole
}

#[test]
#[cfg_attr(miri, ignore = "too long")]
fn every_chunking_gives_the_same_lines() {
    let stream = b"\n\r\nab\r\nc\rd\n\nlast one\nrest";
    let whole = parse_every_chunking(stream, &|i| Ok(i.take_line(8)?.map(<[u8]>::to_vec)));
    assert_eq!(whole.0, [&b""[..], b"", b"ab", b"c\rd", b"", b"last one"]);
    assert_eq!((whole.1, whole.2), (b"rest".to_vec(), None));
    let whole = parse_every_chunking(stream, &|i| Ok(i.take_line(7)?.map(<[u8]>::to_vec)));
    assert_eq!(whole.0.len(), 5);
    assert_eq!(whole.2.unwrap(), "line longer than 7 bytes");
}

#[test]
#[cfg_attr(miri, ignore = "too long")]
fn every_chunking_gives_the_same_frames() {
    let stream = b"\0\0\0\x03abc\0\0\0\0\0\0\0\x01x\0\0\0\x02y";
    let whole = parse_every_chunking(stream, &|i| Ok(i.take_frame(3)?.map(<[u8]>::to_vec)));
    assert_eq!(whole.0, [&b"abc"[..], b"", b"x"]);
    assert_eq!((whole.1, whole.2), (b"\0\0\0\x02y".to_vec(), None));
    let whole = parse_every_chunking(stream, &|i| Ok(i.take_frame(2)?.map(<[u8]>::to_vec)));
    assert_eq!((whole.0.len(), whole.2.unwrap()), (0, "frame longer than 2 bytes".to_string()));
}

#[test]
#[cfg_attr(miri, ignore = "too long")]
fn every_chunking_gives_the_same_delimited_pieces() {
    // Separators that overlap themselves, and beginnings of them within the pieces.
    for (separator, stream, pieces) in [
        (
            &b"\r\n\r\n"[..],
            &b"a\r\nb\r\n\r\n\r\n\r\n\r\r\n\r\n\nx"[..],
            &[&b"a\r\nb"[..], b"", b"\r"][..],
        ),
        (b"aa", b"aaaxaaaaab", &[b"", b"ax", b""]),
        (b"aab", b"aaabaab", &[b"a", b""]),
        (b"\0", b"\0ab\0\0", &[b"", b"ab", b""]),
        (b"1234567", b"x123456712345671234", &[b"x", b""]),
    ] {
        let whole = parse_every_chunking(stream, &|i| {
            Ok(i.take_delimited(separator, 4)?.map(<[u8]>::to_vec))
        });
        assert_eq!(whole.0, pieces, "{:?}", separator.escape_ascii().to_string());
        assert_eq!(whole.2, None);
    }
    let long = parse_every_chunking(b"abc::abcd::", &|i| {
        Ok(i.take_delimited(b"::", 3)?.map(<[u8]>::to_vec))
    });
    assert_eq!((long.0.len(), long.2.unwrap()), (1, "delimited piece longer than 3 bytes".into()));
}

#[test]
fn a_separator_must_have_one_to_seven_bytes() {
    for separator in [&b""[..], b"12345678"] {
        let error = Input::new(b"abc").take_delimited(separator, 9).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}

#[test]
fn every_chunking_gives_the_same_fixed_and_needed_pieces() {
    let whole = parse_every_chunking(b"123456789", &|i| Ok(i.take(4).map(<[u8]>::to_vec)));
    assert_eq!((whole.0, whole.1), (vec![b"1234".to_vec(), b"5678".to_vec()], b"9".to_vec()));
    // A digit says how many bytes follow.
    let piece = |input: &mut Input<'_>| {
        let Some(digit) = input.peek().first() else { return Ok(None) };
        let len = 1 + usize::from(digit - b'0');
        Ok(if input.require(len, 4)? { input.take(len).map(<[u8]>::to_vec) } else { None })
    };
    let whole = parse_every_chunking(b"0112ab3abc4abcd", &piece);
    assert_eq!(whole.0, [&b"0"[..], b"11", b"2ab", b"3abc"]);
    assert_eq!(whole.2.unwrap(), "piece longer than 4 bytes");
}

#[test]
fn what_is_needed_is_void_once_something_is_taken() {
    let mut unconsumed = Unconsumed::default();
    unconsumed.append(b"abc");
    let mut input = unconsumed.input();
    assert!(!input.require(10, 10).unwrap());
    assert_eq!(input.take(1), Some(&b"a"[..]));
    let left = input.remainder();
    unconsumed.store_remainder(left, 0);
    assert!(!unconsumed.needs_more());
    let mut input = unconsumed.input();
    assert!(!input.require(3, 10).unwrap());
    let left = input.remainder();
    unconsumed.store_remainder(left, 0);
    assert!(unconsumed.needs_more());
    unconsumed.append(b"d");
    assert!(!unconsumed.needs_more());
}

#[test]
fn a_search_goes_on_where_it_ended_only_for_the_same_separator() {
    let mut input = Input::new(b"x\r\ny\n");
    assert_eq!(input.take_delimited(b"\r\n\r\n", 9).unwrap(), None);
    assert_eq!(input.take_delimited(b"\n\r\n", 9).unwrap(), None);
    assert_eq!(input.take_delimited(b"\r\n", 9).unwrap(), Some(&b"x"[..]));
    assert_eq!(input.take_all(), b"y\n");
    assert_eq!(input.take_line(9).unwrap(), None);
}

#[test]
fn a_line_at_the_limit_passes_and_one_above_fails_with_or_without_its_end() {
    assert_eq!(Input::new(b"abc\n").take_line(3).unwrap(), Some(&b"abc"[..]));
    assert_eq!(Input::new(b"abc").take_line(3).unwrap(), None);
    for long in [&b"abcd\n"[..], b"abcd"] {
        let error = Input::new(long).take_line(3).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(error.to_string(), "line longer than 3 bytes");
    }
}

#[test]
fn a_frame_above_the_limit_fails_before_its_body_comes() {
    let error = Input::new(b"\xFF\xFF\xFF\xFF").take_frame(1 << 20).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[test]
fn changing_the_byte_looked_for_searches_again() {
    let mut unconsumed = Unconsumed::default();
    unconsumed.append(b"a b");
    let mut input = unconsumed.input();
    assert_eq!(input.take_until(b'\n', 9).unwrap(), None);
    assert_eq!(input.take_until(b' ', 9).unwrap(), Some(&b"a"[..]));
    assert_eq!(input.peek(), b"b");
    assert_eq!(input.take_until(b'\n', 9).unwrap(), None);
}

const MEGABYTE: usize = 1 << 20;

#[test]
#[cfg_attr(miri, ignore = "too long")]
fn a_megabyte_line_byte_by_byte_is_searched_once() {
    for separator in [&b"\n"[..], b"\r\n\r\n", b"xxxxxx\n"] {
        let mut unconsumed = Unconsumed::default();
        let mut looked_at = 0;
        for _ in 0..MEGABYTE {
            unconsumed.append(b"x");
            let mut input = unconsumed.input();
            let before = input.searched(Separator::of(separator));
            assert_eq!(input.take_delimited(separator, MEGABYTE).unwrap(), None);
            looked_at += input.searched(Separator::of(separator)) - before;
            let left = input.remainder();
            unconsumed.store_remainder(left, 0);
        }
        assert_eq!(looked_at, MEGABYTE);
    }
}

/// The handler asks for each of several separators in turn, and also takes a byte now and then.
#[test]
fn separators_in_turn_are_searched_once_each() {
    const LEN: usize = if cfg!(miri) { 64 } else { 4_096 };
    let separators = [&b"\n"[..], b"\r\n\r\n", b";", b"12345"];
    for nth in 1..=SEARCHES {
        let separators = &separators[..nth];
        let mut unconsumed = Unconsumed::default();
        let mut looked_at = 0;
        for round in 0..LEN {
            unconsumed.append(b"xx");
            let mut input = unconsumed.input();
            for separator in separators {
                looked_at += input.len() - input.searched(Separator::of(separator));
                assert_eq!(input.take_delimited(separator, 2 * LEN).unwrap(), None);
            }
            if round % 3 == 0 {
                input.take(1);
            }
            let left = input.remainder();
            unconsumed.store_remainder(left, 0);
        }
        assert_eq!(looked_at, 2 * LEN * nth);
    }
}

#[test]
fn one_separator_too_many_replaces_the_one_that_was_searched_least() {
    let mut input = Input::new(b"aaaa");
    for separator in [b'1', b'2', b'3', b'4', b'5'] {
        assert_eq!(input.take_until(separator, 9).unwrap(), None);
    }
    let known = |input: &Input<'_>, byte| input.searched(Separator::of(&[byte]));
    assert_eq!([b'1', b'2', b'3', b'4', b'5'].map(|byte| known(&input, byte)), [0, 4, 4, 4, 4]);
    input.take(1);
    assert_eq!(known(&input, b'5'), 3);
    input.take(3);
    assert!(input.scan.searches.is_none(), "nothing is known of what comes next");
}

/// How often the handler is shown a frame that comes byte by byte, and how often its bytes move.
#[test]
#[cfg_attr(miri, ignore = "too long")]
fn a_megabyte_frame_byte_by_byte_is_shown_three_times_and_moved_only_as_it_doubles() {
    let mut unconsumed = Unconsumed::default();
    let (mut shown, mut moved, mut taken, mut capacity) = (0, 0, 0, 0);
    let header = (MEGABYTE as u32).to_be_bytes();
    for byte in header.iter().chain(std::iter::repeat_n(&b'x', MEGABYTE)) {
        unconsumed.append(&[*byte]);
        let grown = unconsumed.0.as_ref().unwrap().bytes.capacity();
        moved += u32::from(std::mem::replace(&mut capacity, grown) != grown);
        if unconsumed.needs_more() {
            continue;
        }
        shown += 1;
        let mut input = unconsumed.input();
        taken += input.take_frame(MEGABYTE).unwrap().map_or(0, <[u8]>::len);
        let left = input.remainder();
        unconsumed.store_remainder(left, 0);
    }
    assert_eq!(taken, MEGABYTE);
    // The first byte, the whole length, and the whole frame.
    assert_eq!(shown, 3);
    assert!(moved <= MEGABYTE.ilog2() + 1, "{moved}");
}

#[test]
fn a_length_is_not_believed_before_its_bytes_have_come() {
    let mut unconsumed = Unconsumed::default();
    unconsumed.append(b"\x40\0\0\0abc");
    let mut input = unconsumed.input();
    assert_eq!(input.take_frame(1 << 30).unwrap(), None);
    let left = input.remainder();
    unconsumed.store_remainder(left, 0);
    unconsumed.append(b"d");
    assert!(unconsumed.0.as_ref().unwrap().bytes.capacity() <= 16);
}

#[test]
fn held_bytes_take_about_their_own_size_and_none_when_taken() {
    let mut unconsumed = Unconsumed::default();
    unconsumed.store(&Input::new(b"0123456789"), 0);
    assert!(unconsumed.0.as_ref().unwrap().bytes.capacity() <= 16);
    let mut input = unconsumed.input();
    assert_eq!(input.take(10).map(<[u8]>::len), Some(10));
    let left = input.remainder();
    unconsumed.store_remainder(left, 0);
    assert!(unconsumed.0.is_none());
}

#[test]
fn take_gives_all_or_nothing() {
    let mut input = Input::new(b"abc");
    assert_eq!(input.take(4), None);
    assert_eq!(input.take(2), Some(&b"ab"[..]));
    assert_eq!(input.take_all(), b"c");
    assert!(input.is_empty());
}

#[test]
fn the_first_byte_that_is_held_says_since_when() {
    let mut unconsumed = Unconsumed::default();
    unconsumed.store(&Input::new(b"ab"), 5);
    unconsumed.append(b"c");
    let left = unconsumed.input().remainder();
    unconsumed.store_remainder(left, 6);
    assert_eq!(unconsumed.waiting_since(), 5, "nothing was taken");
    let mut input = unconsumed.input();
    input.take(1);
    let left = input.remainder();
    unconsumed.store_remainder(left, 7);
    assert_eq!(unconsumed.waiting_since(), 7);
    unconsumed.restart_wait(9);
    assert_eq!(unconsumed.waiting_since(), 9);
}

/// A handler that takes one small piece each time it is shown everything.
#[test]
#[cfg_attr(miri, ignore = "too long")]
fn what_is_left_again_and_again_moves_less_often_than_it_comes() {
    let mut unconsumed = Unconsumed::default();
    let (mut moved, mut came) = (0, 0);
    for _ in 0..100_000 {
        let start = unconsumed.0.as_ref().map_or(0, |kept| kept.start);
        let left = unconsumed.len();
        unconsumed.append(b"abc");
        came += 3;
        if unconsumed.0.as_ref().unwrap().start < start {
            moved += left;
        }
        let mut input = unconsumed.input();
        input.take(2);
        let left = input.remainder();
        unconsumed.store_remainder(left, 0);
    }
    assert_eq!(unconsumed.len(), 100_000);
    assert!(moved <= came, "{moved} bytes were moved, {came} came");
}

#[test]
fn what_is_held_is_moved_only_when_more_than_half_of_it_was_taken() {
    let mut unconsumed = Unconsumed::default();
    unconsumed.append(b"0123456789");
    // How many bytes are taken, and how many that were taken are there after the next has come.
    for (taken, there) in [(4, 4), (1, 5), (1, 6), (0, 6), (2, 0)] {
        let mut input = unconsumed.input();
        assert!(input.take(taken).is_some());
        let left = input.remainder();
        unconsumed.store_remainder(left, 0);
        unconsumed.append(b"x");
        assert_eq!(unconsumed.0.as_ref().unwrap().start, there);
    }
    assert_eq!(unconsumed.input().peek(), b"89xxxxx");
}

#[test]
fn what_precedes_a_separator_has_the_limit_and_the_separator_has_not() {
    const END: &[u8] = b"\r\n\r\n";
    let take = |bytes: &'static [u8]| Input::new(bytes).take_delimited(END, 4);
    assert_eq!(take(b"abcd\r\n\r\n").unwrap(), Some(&b"abcd"[..]));
    // So many bytes may be all of it but its end.
    assert_eq!(take(b"abcd\r\n\r").unwrap(), None);
    assert_eq!(take(b"abcdefg").unwrap(), None);
    for too_many in [&b"abcdefgh"[..], b"abcde\r\n\r\n"] {
        assert_eq!(take(too_many).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
