//! Every length field against plain arithmetic, and against whatever a peer sends.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const CASES: u32 = if cfg!(miri) { 8 } else { 1_024 };

const MAX: usize = 400;

fn field() -> impl Strategy<Value = LengthField> {
    let more = prop_oneof![4 => Just(0), 3 => -9..9_i64, 1 => any::<i64>()];
    let offset = prop_oneof![4 => 0..5_usize, 1 => Just(usize::MAX), 1 => any::<usize>()];
    (0..FIELDS.len(), any::<bool>(), offset, more, any::<bool>()).prop_map(
        |(nth, little, offset, more, counts)| {
            let field = FIELDS[nth].offset(offset).adjustment(more);
            let field = if little { field.little_endian() } else { field };
            if counts { field.including_header() } else { field }
        },
    )
}

/// What a fixed field says, told without the code that is tested.
fn said(field: &LengthField, head: &[u8], width: usize, little: bool) -> i128 {
    let digits = &head[field.offset..field.offset + width];
    let weigh = |number: i128, digit: &u8| number * 256 + i128::from(*digit);
    if little { digits.iter().rev().fold(0, weigh) } else { digits.iter().fold(0, weigh) }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]

    #[test]
    fn more_bytes_never_change_what_a_frame_said(field in field(), bytes in vec(any::<u8>(), 0..30)) {
        let mut before: Option<io::Result<FrameSize>> = None;
        for end in 0..=bytes.len() {
            let measured = field.measure(&bytes[..end], MAX);
            match (&before, &measured) {
                (Some(Err(_)), now) => prop_assert!(now.is_err()),
                (Some(Ok(whole @ FrameSize::Whole { .. })), now) => {
                    prop_assert_eq!(now.as_ref().ok(), Some(whole));
                }
                (Some(Ok(FrameSize::HeadNeeds(n))), now) => {
                    let waits = matches!(now, Ok(FrameSize::HeadNeeds(_)));
                    prop_assert!(end >= *n || waits, "it said that {n} bytes are needed");
                }
                (None, _) => {}
            }
            match &measured {
                Ok(FrameSize::HeadNeeds(n)) => prop_assert!(*n > end),
                Ok(FrameSize::Whole { head, body }) => {
                    prop_assert!(*head <= end && *body <= MAX);
                }
                Err(error) if field.offset > LARGEST_OFFSET => {
                    prop_assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
                }
                Err(error) => prop_assert_eq!(error.kind(), io::ErrorKind::InvalidData),
            }
            before = Some(measured);
        }
    }

    #[test]
    fn a_fixed_field_says_what_its_digits_say(
        nth in 0..5_usize,
        little in any::<bool>(),
        counts in any::<bool>(),
        offset in 0..4_usize,
        more in -300..300_i64,
        bytes in vec(prop_oneof![4 => Just(0_u8), 1 => any::<u8>()], 13),
    ) {
        let width = [1, 2, 3, 4, 8][nth];
        let field = FIELDS[nth].offset(offset).adjustment(more);
        let field = if little { field.little_endian() } else { field };
        let field = if counts { field.including_header() } else { field };
        let head = offset + width;
        let body = said(&field, &bytes, width, little) + i128::from(more)
            - if counts { head as i128 } else { 0 };
        match field.measure(&bytes, MAX) {
            Ok(FrameSize::Whole { head: found, body: long }) => {
                prop_assert_eq!((found, long as i128), (head, body));
            }
            Ok(FrameSize::HeadNeeds(n)) => prop_assert!(false, "{} bytes are there", n),
            Err(_) => prop_assert!(body < 0 || body > MAX as i128, "{}", body),
        }
    }

    #[test]
    fn what_is_put_comes_out_whatever_stands_before_and_behind(
        field in field().prop_filter("a head of some bytes", |field| field.offset < 5),
        bodies in vec(vec(any::<u8>(), 0..300), 0..4),
        before in vec(any::<u8>(), 0..4),
    ) {
        let mut out = before.clone();
        let mut put = Vec::new();
        for body in bodies {
            let len = out.len();
            match field.write(&mut out, &body, MAX) {
                Ok(()) => put.push(body),
                Err(error) => {
                    prop_assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
                    prop_assert_eq!(out.len(), len, "what cannot be said leaves no trace");
                }
            }
        }
        let mut input = Input::new(&out[before.len()..]);
        for body in put {
            let frame = input.take_frame_with(&field, MAX).unwrap().unwrap();
            prop_assert_eq!(frame.body, &body[..]);
        }
        prop_assert!(input.is_empty());
    }
}
