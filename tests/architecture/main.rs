//! The rooms of ARCHITECTURE.md are true: each uses only what its row says, and each file says what it is.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop anywhere"
)]

// What the documents name is there.
mod documents;
// The mistakes that are put back still fit.
mod mistakes;
// Files and functions are short, and each name is there once.
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The room of the files that lie in `src` itself.
const VALUES: &str = "values";

struct Room {
    name: String,
    uses: BTreeSet<String>,
    /// The file to start reading at.
    start: String,
}

/// The rooms in the order of the table; "all above" is what it says.
fn rooms() -> Vec<Room> {
    let text = fs::read_to_string("ARCHITECTURE.md").unwrap();
    let table = text.split("## The rooms").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut rooms: Vec<Room> = Vec::new();
    for line in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 4, "a row of four cells: {line}");
        let uses = if cells[2] == "all above" {
            rooms.iter().map(|room| room.name.clone()).collect()
        } else {
            cells[2].split_whitespace().map(|name| name.trim_matches('`').into()).collect()
        };
        let start = cells[3].trim_start_matches('`').split(['`', ':']).next().unwrap();
        rooms.push(Room { name: cells[0].trim_matches('`').into(), uses, start: start.into() });
    }
    rooms
}

/// The Rust files below a folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// What lies in `src` and is no room: the command, the crate's page, and the simulated kernel of the tests.
const NO_ROOM: [&str; 3] = ["bin", "lib.rs", "sim"];

/// The files of the library with their room.
fn files() -> Vec<(String, PathBuf)> {
    let mut files = Vec::new();
    for path in files_below(Path::new("src")) {
        let inside = path.strip_prefix("src").unwrap();
        let first = inside.iter().next().unwrap().to_str().unwrap().to_string();
        let is_value = inside.iter().count() == 1
            || Path::new("src").join(&first).with_extension("rs").exists();
        if !NO_ROOM.contains(&first.as_str()) {
            files.push((if is_value { VALUES.into() } else { first }, path));
        }
    }
    files
}

/// The source without comments and without its tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

fn is_of_tests(path: &Path) -> bool {
    path.iter().any(|part| part == "tests" || part == "tests.rs")
}

fn named_modules(code: &str) -> BTreeSet<String> {
    code.split("crate::")
        .skip(1)
        .map(|rest| rest.split(|c: char| !c.is_ascii_lowercase() && c != '_').next().unwrap())
        .filter(|name| !name.is_empty())
        .map(str::to_string)
        .collect()
}

#[test]
fn every_folder_is_a_room_and_every_room_a_folder() {
    let of_table: BTreeSet<String> = rooms().into_iter().map(|room| room.name).collect();
    let of_files: BTreeSet<String> = files().into_iter().map(|(room, _)| room).collect();
    assert_eq!(of_table, of_files);
    for room in rooms() {
        assert!(Path::new("src").join(&room.start).is_file(), "{}: {}", room.name, room.start);
    }
}

#[test]
fn every_room_uses_only_what_its_row_says_and_that_stands_above_it() {
    let rooms = rooms();
    let values: BTreeSet<String> = files()
        .into_iter()
        .filter(|(room, _)| room == VALUES)
        .map(|(_, path)| path.file_stem().unwrap().to_str().unwrap().to_string())
        .collect();
    let mut above = BTreeSet::new();
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for room in rooms {
        let below: Vec<_> = room.uses.difference(&above).collect();
        assert!(below.is_empty(), "{} uses {below:?}, which do not stand above it", room.name);
        above.insert(room.name.clone());
        uses.insert(room.name, room.uses);
    }
    for (room, path) in files().into_iter().filter(|(_, path)| !is_of_tests(path)) {
        for named in named_modules(&code(&path)) {
            let named = if values.contains(&named) { VALUES.to_string() } else { named };
            let may = named == room || uses[&room].contains(&named);
            assert!(may, "{} names {named}, which its room may not use", path.display());
        }
    }
}

#[test]
fn every_file_says_at_its_top_what_it_is() {
    for (_, path) in files().into_iter().filter(|(_, path)| !is_of_tests(path)) {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//! "), "{} begins with no sentence", path.display());
    }
}

#[test]
fn only_the_room_of_sockets_asks_for_unix() {
    let knows = |room: &str, path: &Path| room == "net" || path.ends_with("os_text.rs");
    for (_, path) in
        files().into_iter().filter(|(room, path)| !knows(room, path) && !is_of_tests(path))
    {
        let code = code(&path);
        assert!(!code.contains("cfg(unix)"), "{} has cfg(unix)", path.display());
        assert!(!code.contains("std::os::"), "{} names std::os", path.display());
    }
}

/// They are read as models, so they are judged as the library is: a lint that is off has a reason, and none
/// is off that keeps a panic away.
/// Another file that catches a panic would drop its payload, or a value of the user, outside of the guard.
#[test]
fn only_the_door_of_foreign_code_catches_panics() {
    for (_, path) in files().into_iter().filter(|(_, path)| !is_of_tests(path)) {
        let catches = code(&path).contains("catch_unwind");
        assert_eq!(catches, path == Path::new("src/foreign.rs"), "{}", path.display());
    }
}

#[test]
fn examples_switch_lints_off_only_as_the_library_does() {
    let mut directories = vec![std::path::PathBuf::from("examples")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let begins = ["[allow(", "[expect("];
            for (at, _) in begins.iter().flat_map(|begin| text.match_indices(begin)) {
                let attribute = text[at..].split(")]").next().unwrap();
                assert!(attribute.contains("reason = "), "{}: {attribute}", path.display());
                for lint in
                    ["unwrap_used", "expect_used", "panic", "indexing_slicing", "::all", "pedantic"]
                {
                    assert!(!attribute.contains(lint), "{}: {attribute}", path.display());
                }
            }
        }
    }
}
