//! What every source file keeps: it is short, its functions are, and the names of its types are its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The longest that a file of the sources may be, in lines.
const LONGEST_FILE: usize = 400;

#[test]
fn no_file_is_longer_than_one_reads_at_a_time() {
    for path in super::files_below(Path::new("src")) {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= LONGEST_FILE, "{} has {lines} lines", path.display());
    }
}

/// The longest that a function of the sources may be, in lines, from `fn` to its last brace.
const LONGEST_FUNCTION: usize = 40;

/// The name of the function that begins on this line.
fn function(line: &str) -> Option<&str> {
    let (before, name) = line.trim_start().split_once("fn ")?;
    let begins = ["", "pub", "const", "async"].contains(&before.split([' ', '(']).next()?);
    let name = name.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    (begins && (before.is_empty() || before.ends_with(' '))).then_some(name)
}

/// The functions of a formatted file with their lengths: each ends with a brace below its own beginning.
fn functions(text: &str) -> Vec<(&str, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let begins = lines.iter().enumerate().filter_map(|(at, line)| Some((at, function(line)?)));
    let length = |at: usize| {
        let own = indent(lines[at]);
        let ends = |line: &&str| indent(line) == own && line.trim_end().ends_with(['}', ';']);
        1 + lines[at..].iter().position(ends).unwrap()
    };
    begins.map(|(at, name)| (name, length(at))).collect()
}

#[test]
fn no_function_is_longer_than_one_sees_at_a_time() {
    for path in super::files_below(Path::new("src")) {
        for (name, lines) in functions(&fs::read_to_string(&path).unwrap()) {
            assert!(lines <= LONGEST_FUNCTION, "{}: {name} has {lines} lines", path.display());
        }
    }
}

#[test]
fn functions_are_measured_from_their_first_line_to_their_last() {
    let text = "fn a() {\n    b();\n}\n\n    pub(in crate::x) const fn c(\n        d: u8,\n    ) -> u8 {\n        d\n    }\nfn e() {}\nlet fn_x = 1;\n";
    assert_eq!(functions(text), [("a", 3), ("c", 5), ("e", 1)]);
}

/// Types that are there twice, with the reason.
const TWICE: [(&str, &str); 6] = [
    (
        "Handler",
        "the trait of the loop, and that of handlers that block, named as `blocking::Handler`",
    ),
    ("FamilyHeaders", "with recvmmsg(2) in `net/mmsg.rs`, without it in `net/single.rs`"),
    ("MmsgHeaders", "with recvmmsg(2) in `net/mmsg.rs`, without it in `net/single.rs`"),
    ("PreciseTimer", "with timerfd_create(2), and without it"),
    ("StopToken", "a pipe that poll(2) waits for, and a flag where there is none"),
    ("Standard", "a standard stream of Unix, and one that a thread writes"),
];

/// The type that is defined on this line. An associated type is none, and is indented.
fn type_name(line: &str) -> Option<&str> {
    let is_indented = line.starts_with(' ');
    let line = line.trim_start();
    let line = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ")?.1,
        Some(rest) => rest.trim_start(),
        None => line,
    };
    let (kind, name) = line.split_once(' ')?;
    let is_type =
        ["struct", "enum", "trait", "union"].contains(&kind) || kind == "type" && !is_indented;
    name.split(|c: char| !c.is_alphanumeric() && c != '_').next().filter(|_| is_type)
}

/// In the library and the command; models and simulations in tests may be called as what they stand for.
#[test]
fn each_type_has_a_name_of_its_own() {
    let mut places: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    let of_tests = |path: &PathBuf| super::is_of_tests(path) || path.starts_with("src/sim");
    for path in super::files_below(Path::new("src")).into_iter().filter(|path| !of_tests(path)) {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
        for name in code.lines().filter_map(type_name) {
            places.entry(name.to_string()).or_default().push(path.clone());
        }
    }
    for (name, reason) in TWICE {
        assert_eq!(places.remove(name).map(|places| places.len()), Some(2), "{name}: {reason}");
    }
    for (name, places) in places {
        assert_eq!(places.len(), 1, "{name} is defined in {places:?}");
    }
}

/// Whether a test waits for something or on purpose is said by the words of `tests/support/waits.rs`.
#[test]
fn only_the_words_for_waiting_sleep() {
    for path in super::files_below(Path::new("tests")) {
        let may = path.ends_with("support/waits.rs");
        let text = fs::read_to_string(&path).unwrap();
        // In two pieces, so that this line is none of them.
        assert!(may || !text.contains(concat!("thread::", "sleep")), "{} sleeps", path.display());
    }
}
