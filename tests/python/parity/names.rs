//! Behaviour 25: what the crate exports, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use libtest_mimic::Trial;

use super::combination::one;

pub(crate) fn names() -> Vec<Trial> {
    vec![
        one("b25_the_public_names_of_the_crate_are_exactly_these", || {
            assert_eq!(public("lib.rs"), names_in(CRATE));
        }),
        one("b25_the_public_names_of_blocking_are_exactly_these", || {
            assert_eq!(public("blocking/mod.rs"), names_in(BLOCKING));
        }),
    ]
}

const CRATE: &str = "Addr Connect Context LoopGroup LoopGroupHandle DatagramHandler Echo Exit Frame \
    FrameWriter ServerHandle Handler Input IntoConnect Io Stats LengthField LoopReport Options RequestOutcome \
    Readiness CloseReason Reconnect Relay ShutdownReport SendStatus Server SocketId LoadBalancing TraceEvent TimerId ToAddrs \
    blocking guide mio testing";

const BLOCKING: &str = "Handler MAX_CHILDREN Workers Request";

fn names_in(list: &str) -> BTreeSet<String> {
    list.split_whitespace().map(str::to_string).collect()
}

/// What a file declares to be public at its outermost level, and what it exports.
fn public(file: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../src").join(file);
    let text = fs::read_to_string(path).unwrap();
    let mut names = BTreeSet::new();
    for item in text.split("\npub ").skip(1) {
        match item.strip_prefix("use ") {
            Some(path) => names.extend(exported(path)),
            None => names.extend(declared(item)),
        }
    }
    // It is there for the tests of the documentation alone.
    names.remove("Readme");
    names
}

/// `a::{B, C};` gives B and C, `a::B;` gives B, and `a;` gives a.
fn exported(path: &str) -> Vec<String> {
    let path = path.split(';').next().unwrap_or_default();
    let last = path.rsplit("::").next().unwrap_or_default();
    last.trim_matches(['{', '}']).split(',').map(|name| name.trim().to_string()).collect()
}

/// `trait A<S>` gives A.
fn declared(item: &str) -> Option<String> {
    let name = item.split_whitespace().nth(1)?;
    Some(name.split(|c: char| !c.is_alphanumeric() && c != '_').next()?.to_string())
}
