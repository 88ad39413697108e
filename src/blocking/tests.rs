//! A reader returns the same pieces however the input is split.

use super::*;

fn packet(bytes: &[u8]) -> Reader {
    Reader::of_packet(bytes.to_vec())
}

fn owned(piece: io::Result<Option<&[u8]>>) -> Option<Vec<u8>> {
    piece.unwrap().map(<[u8]>::to_vec)
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> io::ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn the_last_line_needs_no_end_and_half_a_frame_is_an_error() {
    let mut reader = packet(b"one\r\ntwo\n\nrest\r");
    for line in [&b"one"[..], b"two", b"", b"rest\r"] {
        assert_eq!(owned(reader.line(5)), Some(line.to_vec()));
    }
    assert_eq!(owned(reader.line(5)), None);
    assert_eq!(owned(reader.line(5)), None);

    assert_eq!(kind(packet(b"half").delimited(b"\n", 9)), io::ErrorKind::UnexpectedEof);
    assert_eq!(kind(packet(b"\x00").frame(&LengthField::U16, 9)), io::ErrorKind::UnexpectedEof);
    assert_eq!(kind(packet(b"\x02a").frame(&LengthField::U8, 9)), io::ErrorKind::UnexpectedEof);
    assert_eq!(kind(packet(b"ab").take_exact(3, 9)), io::ErrorKind::UnexpectedEof);
    assert_eq!(packet(b"").delimited(b"\n", 9).unwrap(), None);
    assert_eq!(packet(b"").frame(&LengthField::U16, 9).unwrap(), None);
    assert_eq!(packet(b"").take_exact(3, 9).unwrap(), None);
    assert_eq!(packet(b"").take_exact(0, 9).unwrap(), Some(&b""[..]));
}

#[test]
fn what_is_longer_than_its_limit_is_refused() {
    assert_eq!(owned(packet(b"1234\n").line(4)), Some(b"1234".to_vec()));
    for reader in [&mut packet(b"12345\n"), &mut packet(b"12345")] {
        assert_eq!(kind(reader.line(4)), io::ErrorKind::InvalidData);
        assert_eq!(kind(reader.delimited(b"\n", 4)), io::ErrorKind::InvalidData);
    }
    assert_eq!(kind(packet(b"\x05").frame(&LengthField::U8, 4)), io::ErrorKind::InvalidData);
    assert_eq!(kind(packet(b"").take_exact(5, 4)), io::ErrorKind::InvalidData);
    assert_eq!(kind(packet(b"12345").take_exact(5, 4)), io::ErrorKind::InvalidData);
    assert_eq!(kind(packet(b"x").delimited(b"", 4)), io::ErrorKind::InvalidInput);
}

#[test]
fn what_has_no_limit_of_its_own_has_that_of_the_server() {
    let limited = |bytes: &[u8]| Reader { limit: 4, ..packet(bytes) };
    let mut bytes = Vec::new();
    assert_eq!(limited(b"1234").read_to_end(&mut bytes).unwrap(), 4);
    assert_eq!(limited(b"123\n56789").read_until(b'\n', &mut bytes).unwrap(), 4);
    assert_eq!(bytes, b"1234123\n");
    let mut text = String::new();
    assert_eq!(limited(b"1234").read_to_string(&mut text).unwrap(), 4);
    assert_eq!(limited(b"123\n56789").read_line(&mut text).unwrap(), 4);
    assert_eq!(text, "1234123\n");

    let long = b"1234\n6789";
    let refused = |result: io::Result<usize>| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains("Options::input_limit"), "{error}");
    };
    refused(limited(long).read_to_end(&mut bytes));
    refused(limited(long).read_until(b'\n', &mut bytes));
    refused(limited(long).read_to_string(&mut text));
    refused(limited(long).read_line(&mut text));
    let lines: io::Result<Vec<String>> = (&mut limited(long)).lines().collect();
    assert_eq!(kind(lines), io::ErrorKind::InvalidData);
    let pieces: io::Result<Vec<Vec<u8>>> = (&mut limited(long)).split(b'\n').collect();
    assert_eq!(kind(pieces), io::ErrorKind::InvalidData);
    // The caller's own `take` needs no limit of the server.
    assert_eq!((&mut limited(long)).take(6).read_to_end(&mut bytes).unwrap(), 6);
}

#[test]
fn what_is_no_text_is_an_error_and_leaves_the_string_as_it_was() {
    let mut text = String::from("so far");
    assert_eq!(kind(packet(b"\xFF\n").read_line(&mut text)), io::ErrorKind::InvalidData);
    assert_eq!(kind(packet(b"\xFF").read_to_string(&mut text)), io::ErrorKind::InvalidData);
    assert_eq!(text, "so far");
}

/// Over SEQPACKET sockets, so that each read returns one piece as it was sent.
#[cfg(target_os = "linux")]
mod pieces {
    use std::sync::Arc;
    use std::time::Duration;

    use proptest::prelude::*;
    use socket2::{Domain, Socket, Type};

    use super::super::super::socket::Limits;
    use super::*;
    use crate::net::LentSocket;

    fn pair(timeout: Option<Duration>) -> (Socket, Reader) {
        let (ours, theirs) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None).unwrap();
        let ours = Arc::new(LentSocket::new(ours));
        let socket = BlockingSocket::new(ours, Limits { timeout, deadline: None }, None).unwrap();
        (theirs, Reader::of_stream(socket, usize::MAX))
    }

    fn stream(pieces: &[Vec<u8>]) -> Reader {
        let (theirs, reader) = pair(None);
        for piece in pieces {
            assert_eq!(theirs.send(piece).unwrap(), piece.len());
        }
        reader
    }

    /// Calls the read method of number `way`; returns the piece, or the kind of the error.
    fn take(reader: &mut Reader, way: u8) -> (Option<Vec<u8>>, Option<io::ErrorKind>) {
        let taken = match way % 8 {
            0 => reader.line(40).map(|line| line.map(<[u8]>::to_vec)),
            1 => reader.delimited(b"\n\n", 40).map(|piece| piece.map(<[u8]>::to_vec)),
            2 => reader
                .frame(&LengthField::U8.offset(1), 200)
                .map(|frame| frame.map(|frame| [frame.head, b"|", frame.body].concat())),
            3 => reader.take_exact(usize::from(way / 8), 40).map(|all| all.map(<[u8]>::to_vec)),
            4 => {
                let mut all = vec![0; usize::from(way / 8)];
                reader.read_exact(&mut all).map(|()| Some(all))
            }
            5 => {
                let mut line = Vec::new();
                reader.read_until(b'\n', &mut line).map(|_| Some(line))
            }
            6 => reader.skip_until(b'\n').map(|n| Some(vec![0; n])),
            _ => {
                // fill_buf returns the same input until it is consumed.
                let n = reader.fill_buf().map(|piece| piece.len().min(1));
                n.map(|n| {
                    let first = reader.fill_buf().unwrap().get(..n).unwrap().to_vec();
                    reader.consume(n);
                    Some(first)
                })
            }
        };
        match taken {
            Ok(taken) => (taken, None),
            Err(error) => (None, Some(error.kind())),
        }
    }

    proptest! {
        #[test]
        fn every_way_to_read_gives_the_same_however_the_bytes_are_cut(
            pieces in prop::collection::vec(
                prop::collection::vec(prop::sample::select(&b"a\n\r\x00\x05"[..]), 1..30), 0..8),
            ways in prop::collection::vec(any::<u8>(), 1..20),
        ) {
            let mut cut = stream(&pieces);
            let mut whole = packet(&pieces.concat());
            for way in ways {
                let (given, expected) = (take(&mut cut, way), take(&mut whole, way));
                prop_assert_eq!(&given, &expected, "way {}", way);
                if given.1.is_some() {
                    // How much input a failed call consumes is unspecified.
                    break;
                }
            }
        }
    }

    #[test]
    fn what_was_not_whole_in_time_is_not_lost() {
        let (theirs, mut reader) = pair(Some(Duration::from_millis(1)));
        theirs.send(b"half a ").unwrap();
        assert_eq!(kind(reader.line(40)), io::ErrorKind::TimedOut);
        assert_eq!(kind(reader.line(40)), io::ErrorKind::TimedOut);
        theirs.send(b"line\nand ").unwrap();
        assert_eq!(owned(reader.line(40)), Some(b"half a line".to_vec()));
        let mut text = String::new();
        assert_eq!(kind(reader.read_line(&mut text)), io::ErrorKind::TimedOut);
        theirs.send(b"text\n").unwrap();
        reader.read_line(&mut text).unwrap();
        assert_eq!(text, "and text\n");
    }

    #[test]
    fn the_room_for_what_is_not_whole_is_that_of_its_limit() {
        let (theirs, mut reader) = pair(Some(Duration::from_millis(1)));
        for _ in 0..20 {
            theirs.send(&[b'a'; 5_000]).unwrap();
        }
        assert_eq!(kind(reader.line(20_000)), io::ErrorKind::InvalidData);
        assert!(reader.unconsumed.len() <= 20_000 + ONE_READ, "{}", reader.unconsumed.len());
        assert!(
            reader.unconsumed.capacity() <= 20_000 + 2 * ONE_READ,
            "{}",
            reader.unconsumed.capacity()
        );
        // The input is still there for the next read.
        let mut rest = vec![0; 100_000];
        reader.read_exact(&mut rest).unwrap();
        assert!(rest.iter().all(|byte| *byte == b'a'));
    }
}
