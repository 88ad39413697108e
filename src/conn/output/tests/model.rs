//! Output against a plain queue of bytes.

use std::collections::VecDeque;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const CASES: u32 = if cfg!(miri) { 8 } else { 512 };

#[derive(Clone, Debug)]
enum Act {
    Push(usize),
    /// A number of bytes, and how many of them were sent already.
    PushShared(usize, usize),
    PushFront(usize),
    Advance(usize),
    Clear,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..9_usize).prop_map(Act::Push),
        3 => (0..9_usize, 0..10_usize).prop_map(|(n, sent)| Act::PushShared(n, sent)),
        2 => (0..5_usize).prop_map(Act::PushFront),
        6 => (0..20_usize).prop_map(Act::Advance),
        1 => Just(Act::Clear),
    ]
}

/// Compares the output with the bytes that it should hold, and looks for lost buffers.
fn check(output: &Output, pool: &BufferPool, all: &[u8]) -> Result<(), TestCaseError> {
    prop_assert_eq!(unsent(output), all);
    prop_assert_eq!((output.len(), output.is_empty()), (all.len(), all.is_empty()));
    if let Some(lies_together) = output.unsent() {
        prop_assert_eq!(lies_together, all);
    }
    let buffers = pool.spare.iter().chain(&output.0);
    prop_assert!(buffers.clone().count() <= 2, "a buffer was lost, or kept twice");
    for spare in &pool.spare {
        prop_assert_eq!((spare.len(), spare.front().len()), (0, 0));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]

    #[test]
    fn output_is_a_queue_of_bytes_wherever_they_lie(acts in vec(act(), 0..80)) {
        let mut pool = BufferPool::default();
        let mut output = Output::default();
        let mut model: VecDeque<u8> = VecDeque::new();
        for (nth, act) in acts.into_iter().enumerate() {
            let bytes = |n: usize| (0..n).map(|i| (nth * 16 + i) as u8).collect::<Vec<u8>>();
            match act {
                Act::Push(n) => {
                    model.extend(bytes(n));
                    prop_assert_eq!(output.push(&bytes(n), &mut pool), model.len());
                }
                Act::PushShared(n, sent) => {
                    model.extend(bytes(n).iter().skip(sent));
                    let shared: Arc<[u8]> = bytes(n).into();
                    prop_assert_eq!(output.push_shared(&shared, sent, &mut pool), model.len());
                }
                Act::PushFront(n) => {
                    bytes(n).into_iter().rev().for_each(|byte| model.push_front(byte));
                    output.push_front(&bytes(n), &mut pool);
                }
                Act::Advance(n) => {
                    let n = n.min(model.len());
                    model.drain(..n);
                    output.advance(n, &mut pool);
                }
                Act::Clear => {
                    model.clear();
                    output.clear(&mut pool);
                }
            }
            let all: Vec<u8> = model.iter().copied().collect();
            check(&output, &pool, &all)?;
        }
    }
}
