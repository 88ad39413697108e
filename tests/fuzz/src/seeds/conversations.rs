//! Seeds of `conversations`.

use super::{Seed, plain};
use crate::conversations::{
    ABORT, CLOSE, CONNECT, END, FULL_DUPLEX, PAUSE, PAUSES, PEER_SENDS, RESET, RESUME, ROOM, RUN,
    SEND, SEND_LARGE, SENDS_WHEN_DRAINED, SET_TIMER, SHUTDOWN, SHUTDOWN_WRITE, STAYS,
    UNBOUNDED_ROOM, WAIT,
};

/// High water, flags, read buffer, input limit, output limit: the largest of each, and no time limit.
const WIDE: [u8; 5] = [3, 0, 3, 3, 2];
/// High water of 16 bytes, and no more output than that.
const NARROW: [u8; 5] = [1, 0, 3, 3, 0];
/// The same, but with room for 16 MiB above high water.
const LOW_WATER: [u8; 5] = [1, 0, 3, 3, 2];
/// One byte is read at a time, and four are kept.
const TINY: [u8; 5] = [3, 0, 0, 0, 2];
const IDLE_TIMEOUT: [u8; 5] = [3, 0x10, 3, 3, 2];
const FRAME_TIMEOUT: [u8; 5] = [3, 0x20, 3, 3, 2];

/// How much a handler takes at once.
const TAKES_ALL: u8 = 0;
const TAKES_HALF: u8 = 1;
const TAKES_LINES: u8 = 2;
const TAKES_THREE: u8 = 3;

/// The act of one peer of three, or on its connection.
const fn on(peer: u8, act: u8) -> u8 {
    peer << 5 | act
}

/// Peer `nth` sends `text`, and the server runs.
fn says(nth: u8, text: &[u8]) -> Vec<u8> {
    let len = u8::try_from(text.len()).unwrap_or(u8::MAX);
    [&[on(nth, PEER_SENDS), len], text, &[RUN]].concat()
}

fn play(options: [u8; 5], habits: u8, acts: &[&[u8]]) -> Vec<u8> {
    [&options[..], &[habits], &acts.concat()].concat()
}

pub(crate) fn all() -> Vec<Seed> {
    let hello = &says(0, b"hello")[..];
    let mut seeds = vec![
        ("echo", play(WIDE, TAKES_ALL, &[hello, hello])),
        (
            "lines-cut",
            play(WIDE, TAKES_LINES, &[&says(0, b"one\ntw"), &says(0, b"o\n"), &[END, RUN]]),
        ),
        (
            "handler-pauses-and-takes-half",
            play(TINY, TAKES_HALF | PAUSES, &[hello, &[WAIT, 5, WAIT, 5]]),
        ),
        ("half-close-and-stay", play(WIDE, TAKES_THREE | STAYS, &[hello, &[END, RUN, WAIT, 60]])),
        (
            "congested-and-drained",
            play(
                LOW_WATER,
                TAKES_ALL | SENDS_WHEN_DRAINED,
                &[&[ROOM, 5, SEND_LARGE, RUN], hello, &[UNBOUNDED_ROOM, RUN, RUN]],
            ),
        ),
        (
            "full-duplex-while-congested",
            play(LOW_WATER, TAKES_ALL | FULL_DUPLEX, &[&[ROOM, 0, SEND_LARGE], hello, hello]),
        ),
        ("output-limit", play(NARROW, TAKES_ALL, &[&[ROOM, 0, SEND_LARGE, RUN], hello])),
        ("idle-timeout", play(IDLE_TIMEOUT, TAKES_ALL, &[hello, &[WAIT, 60]])),
        ("frame-timeout", play(FRAME_TIMEOUT, TAKES_LINES, &[hello, &[WAIT, 60]])),
        ("reset-with-output", play(WIDE, TAKES_ALL, &[&[ROOM, 1], hello, &[RESET, RUN]])),
        (
            "ordered-by-the-peer",
            play(
                WIDE,
                TAKES_ALL,
                &[
                    &[CONNECT, TAKES_ALL, CONNECT, TAKES_ALL],
                    &says(0, b"LPTC"),
                    &says(1, b"A"),
                    &says(2, b"WE"),
                ],
            ),
        ),
        (
            "three-peers-commanded",
            play(
                WIDE,
                TAKES_ALL,
                &[
                    &[
                        CONNECT,
                        TAKES_LINES,
                        CONNECT,
                        TAKES_ALL,
                        on(1, PAUSE),
                        on(2, SHUTDOWN_WRITE),
                    ],
                    hello,
                    &says(1, b"a\n"),
                    &[on(0, CLOSE), on(1, RESUME), on(2, ABORT), RUN],
                ],
            ),
        ),
        (
            "shutdown-with-output-and-a-timer",
            play(
                LOW_WATER,
                TAKES_ALL | STAYS,
                &[
                    &[ROOM, 0, SEND],
                    b"sixteen bytes...",
                    &[SET_TIMER, 9, SHUTDOWN, 50, RUN, WAIT, 99],
                ],
            ),
        ),
    ];
    // Found by the fuzzer.
    seeds.extend(plain([
        ("at-the-input-limit", b"\xc2\xf4\x1a\xd4V\xc2%\xff\x00\x1a\x00\x00\x0bZ"),
        ("shutdown-while-lingering", b"#55\xa3\xffe\xf7\xff\xff\xff\x9a1...\x08\x07"),
    ]));
    seeds
}
