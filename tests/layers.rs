//! The table in ARCHITECTURE.md is true: every file has a row, and names only what its row says.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

struct Row {
    name: String,
    sentence: String,
    uses: BTreeSet<String>,
}

fn rows() -> Vec<Row> {
    let text = fs::read_to_string("ARCHITECTURE.md").unwrap();
    let mut rows = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("| `") && line.contains(".rs` |")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 3, "a row of three cells: {line}");
        rows.push(Row {
            name: cells[0].trim_matches('`').trim_end_matches(".rs").to_string(),
            sentence: cells[1].replace(['*', '`'], ""),
            uses: cells[2].split_whitespace().map(|name| name.trim_matches('`').into()).collect(),
        });
    }
    rows
}

/// The source without comments and without its tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// A module's own code, and that of the modules inside it.
fn code_of_module(name: &str) -> String {
    let module = Path::new("src").join(name);
    code(&module.with_extension("rs")) + &code_inside(&module)
}

fn code_inside(folder: &Path) -> String {
    let Ok(inside) = fs::read_dir(folder) else { return String::new() };
    let paths = inside.map(|file| file.unwrap().path());
    // Tests have a file, or a folder with several.
    let paths = paths.filter(|path| path.file_stem().is_some_and(|name| name != "tests"));
    paths.map(|path| if path.is_dir() { code_inside(&path) } else { code(&path) }).collect()
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
fn every_file_has_a_row_and_every_row_a_file() {
    let rows: BTreeSet<String> = rows().into_iter().map(|row| row.name).collect();
    let files: BTreeSet<String> = fs::read_dir("src")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_string())
        .filter(|name| name != "lib")
        .collect();
    assert_eq!(rows, files);
}

#[test]
fn no_file_names_a_module_that_its_row_does_not() {
    for row in rows() {
        let mut named = named_modules(&code_of_module(&row.name));
        named.remove(&row.name);
        assert_eq!(named, row.uses, "what {}.rs names, and what its row says", row.name);
    }
}

#[test]
fn every_row_uses_only_rows_above_it() {
    let mut above = BTreeSet::new();
    for row in rows() {
        let below: Vec<_> = row.uses.difference(&above).collect();
        assert!(below.is_empty(), "{} uses {below:?}, which do not stand above it", row.name);
        above.insert(row.name);
    }
}

#[test]
fn every_file_begins_with_its_sentence() {
    let bare = |text: &str| -> String {
        let text = text.to_lowercase().replace("[`crate::io`]", "io");
        text.chars().filter(|c| c.is_alphanumeric()).collect()
    };
    for row in rows() {
        let text = fs::read_to_string(format!("src/{}.rs", row.name)).unwrap();
        let doc: String = text
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .map(|line| line.trim_start_matches("//!"))
            .collect();
        assert!(
            bare(&doc).starts_with(&bare(&row.sentence)),
            "{}.rs begins with {doc:?}, its row says {:?}",
            row.name,
            row.sentence
        );
    }
}

#[test]
fn only_socket_rs_asks_for_unix() {
    let knows = ["socket", "os_text"];
    for row in rows().into_iter().filter(|row| !knows.contains(&row.name.as_str())) {
        let code = code_of_module(&row.name);
        assert!(!code.contains("cfg(unix)"), "{}.rs has cfg(unix)", row.name);
        assert!(!code.contains("std::os::"), "{}.rs names std::os", row.name);
    }
}

/// They are read as models, so they are judged as the library is: a lint that is off has a reason, and none
/// is off that keeps a panic away.
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
