//! Seeds of `commands`, `redis_messages` and `cluster`.

use super::{Seed, each};
use crate::cluster::{BURST, CLEAR, DELIVER, LOSE, RESTART, SAY, WHO};

pub(crate) fn commands() -> Vec<Seed> {
    // How they are cut.
    const CUT: &[u8] = &[7];
    each([
        (
            "arrays",
            CUT,
            "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\nab\r\nGET k\r\n*0\r\n*-1\r\n*1\r\n$0\r\n\r\n",
        ),
        ("lines-of-words", CUT, "PING\r\nSET k  v\n\r\n \r\nGET k"),
        ("quotes-with-escapes", CUT, "SET k \"a b\\n\\x4a\\x4g\\q\\\"\" 'c\\'d\\n' e\"f\"\r\n"),
        ("quote-without-end", CUT, "SET \"k\r\n"),
        ("word-behind-a-quote", CUT, "SET \"k\"v\r\n"),
        ("count-with-leading-zero", CUT, "*01\r\n$4\r\nPING\r\n"),
        ("count-above-the-limit", CUT, "*65537\r\n"),
        ("count-without-end", CUT, "*1111111111111111111111111111111111"),
        ("lowest-count", CUT, "*-9223372036854775808\r\nPING\r\n"),
        ("bulk-without-a-dollar", CUT, "*1\r\n:4\r\n"),
        ("bulk-of-negative-length", CUT, "*1\r\n$-1\r\n"),
        ("bulk-longer-than-its-length", CUT, "*1\r\n$3\r\nPING\r\n"),
        ("bulk-with-cr-and-lf", CUT, "*2\r\n$4\r\nECHO\r\n$4\r\n\r\n\r\n\r\n"),
        ("large-bulk-cut", CUT, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\nthe beginning"),
        ("bulk-above-the-limit", CUT, "*1\r\n$9223372036854775807\r\n"),
        ("number-with-sign", CUT, "-9223372036854775809"),
    ])
}

pub(crate) fn messages() -> Vec<Seed> {
    // Where they are cut for a second reading.
    const CUT: &[u8] = &[9];
    each([
        ("message", CUT, "*3\r\n$7\r\nmessage\r\n$4\r\nchat\r\n$10\r\nline a 1 x\r\n"),
        ("subscribe", CUT, "*3\r\n$9\r\nsubscribe\r\n$4\r\nchat\r\n:1\r\n"),
        ("pong", CUT, "*2\r\n$4\r\npong\r\n$0\r\n\r\n*3\r\n"),
        ("two-parts", &[0], "*2\n:\u{8}\0*\u{4}\0\0\0"),
        ("error", CUT, "-ERR unknown command\r\n"),
        ("four-parts", CUT, "*4\r\n:1\r\n:2\r\n:3\r\n:4\r\n"),
        ("part-of-another-kind", CUT, "*2\r\n:1\r\n+OK\r\n"),
        ("empty-part", CUT, "*2\r\n\r\n"),
        ("bulk-of-no-length", CUT, "*2\r\n$\r\n"),
        ("bulk-of-nothing", CUT, "*2\r\n$-1\r\n"),
        ("bulk-above-the-limit", CUT, "*2\r\n$65536\r\n"),
        ("bulk-of-longest-length", CUT, "*2\r\n$18446744073709551615\r\n"),
        ("bulk-cut", CUT, "*2\r\n$4\r\nme"),
        ("head-cut", CUT, "*3"),
    ])
}

/// What one server of three does.
const fn on(server: u8, act: u8) -> u8 {
    server << 4 | act
}

/// The first byte of messages that no server has sent; the second is how many lines were said before.
const ANYTHING: u8 = 1;
const ACTS: u8 = 0;

pub(crate) fn cluster() -> Vec<Seed> {
    let acts = |acts: &[u8]| [&[ACTS], acts].concat();
    let mut seeds = vec![
        (
            "a-line-comes-to-all",
            acts(&[on(0, SAY), on(0, DELIVER), on(1, DELIVER), on(2, DELIVER)]),
        ),
        (
            "a-line-is-lost-and-the-next-comes",
            acts(&[on(0, SAY), on(1, LOSE), on(0, SAY), on(1, DELIVER)]),
        ),
        (
            "two-lines-are-lost",
            acts(&[on(0, SAY), on(0, SAY), on(1, LOSE), on(1, LOSE), on(1, WHO)]),
        ),
        (
            "the-answer-is-lost",
            acts(&[
                on(0, SAY),
                on(1, LOSE),
                on(1, WHO),
                on(0, DELIVER),
                on(0, DELIVER),
                on(1, CLEAR),
            ]),
        ),
        ("restart-forgets-its-lines", acts(&[on(0, SAY), on(1, LOSE), on(0, RESTART), on(0, SAY)])),
        (
            "restart-of-another-life",
            acts(&[on(0, SAY), on(1, DELIVER), on(0, RESTART), on(0, RESTART), on(1, DELIVER)]),
        ),
        (
            "burst-and-the-bus-is-gone",
            acts(&[on(0, BURST), 7, on(1, CLEAR), on(2, CLEAR), on(0, SAY)]),
        ),
        (
            "all-say-at-once",
            acts(&[
                on(0, SAY),
                on(1, SAY),
                on(2, SAY),
                on(1, DELIVER),
                on(2, DELIVER),
                on(0, DELIVER),
            ]),
        ),
    ];
    seeds.extend(each([
        ("again-for-all-lines", &[ANYTHING, 3], "again a 0\nagain a 2\nagain a 9"),
        ("who-of-unknown-server", &[ANYTHING, 0], "who b 5\nline b 7 x\nline b 6 y\nline b 6 y"),
        ("here-behind-what-was-seen", &[ANYTHING, 1], "line b 5 x\nhere b 3\nhere b 9"),
        ("lost-more-than-was-seen", &[ANYTHING, 1], "line b 1 x\nlost b 4\nlost b 2"),
        ("own-name", &[ANYTHING, 2], "line a 1 x\nwho a 9\nlost a 9"),
        (
            "largest-number",
            &[ANYTHING, 0],
            "line b 18446744073709551615 x\nline b 18446744073709551615 y",
        ),
        ("no-number", &[ANYTHING, 0], "line b x y\nline\n\nnews b 1 z\nwho b 18446744073709551616"),
    ]));
    seeds
}
