//! What the documents name is there, and what they say of `Cargo.toml` is what it says.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const DOCUMENTS: [&str; 3] = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"];

/// What stands between `begin` and `end`, each time.
fn between<'a>(text: &'a str, begin: &str, end: char) -> Vec<&'a str> {
    text.split(begin).skip(1).filter_map(|rest| rest.split(end).next()).collect()
}

#[test]
fn every_file_that_a_document_names_is_there() {
    for document in DOCUMENTS {
        let text = fs::read_to_string(document).unwrap();
        let links = between(&text, "](", ')').into_iter().filter(|link| !link.contains("://"));
        let links = links.map(|link| link.split('#').next().unwrap());
        let quoted: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
        let pages = quoted.into_iter().filter(|name| {
            let is_path = name.starts_with("tests/") || name.starts_with("examples/");
            let ending = Path::new(name).extension().and_then(|ending| ending.to_str());
            ending == Some("md") || is_path && ending == Some("rs") && !name.contains('*')
        });
        for name in links.chain(pages).filter(|name| !name.is_empty()) {
            assert!(Path::new(name).exists(), "{document} names {name}");
        }
    }
}

/// Those without a feature.
#[test]
fn the_readme_names_every_dependency_of_the_library() {
    let manifest = fs::read_to_string("Cargo.toml").unwrap();
    let sections = ["[dependencies]\n", "[target.'cfg(unix)'.dependencies]\n"];
    let lines = sections.iter().flat_map(|section| {
        let rest = manifest.split(section).nth(1).unwrap();
        rest.split("\n[").next().unwrap().lines()
    });
    let needed = lines.filter(|line| line.contains(" = ") && !line.contains("optional = true"));
    let needed: BTreeSet<&str> = needed
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split([' ', '.']).next().unwrap())
        .collect();
    let readme = fs::read_to_string("README.md").unwrap();
    let sentence = between(&readme, "the library alone depends on", '.')[0];
    let named: BTreeSet<&str> = sentence.split('`').skip(1).step_by(2).collect();
    assert_eq!(named, needed);
}

/// All Rust sources that a document may name, in one text.
fn sources() -> String {
    let folders = ["src", "tests", "examples", "benches"];
    let files = folders.iter().flat_map(|folder| super::files_below(Path::new(folder)));
    files.map(|file| fs::read_to_string(file).unwrap()).collect()
}

/// Whether `name` is written as a path of Rust is: `Io::set_timer`, `read_ready`.
fn is_rust_path(name: &str) -> bool {
    let parts = name.trim_end_matches("()").split("::");
    name.contains(['_', ':'])
        && parts.into_iter().all(|part| {
            part.starts_with(|c: char| c.is_ascii_alphabetic())
                && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        })
}

#[test]
fn every_function_and_type_that_a_document_names_is_there() {
    let sources = sources();
    let words: BTreeSet<&str> =
        sources.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let documents = ["README.md", "ARCHITECTURE.md", "tests/README.md", "examples/README.md"];
    for document in documents {
        let text = fs::read_to_string(document).unwrap();
        // Every second piece between back quotes is quoted, once blocks of code are gone.
        let prose: String = text.split("```").step_by(2).collect();
        for name in prose.split('`').skip(1).step_by(2).filter(|name| is_rust_path(name)) {
            let last = name.trim_end_matches("()").rsplit("::").next().unwrap();
            assert!(words.contains(last), "{document} names {name}");
        }
        // The journey of a message is a tree of functions in a block of code.
        for line in text.lines().filter_map(|line| line.split(['└', '├']).nth(1)) {
            let name = line.split_whitespace().next().unwrap_or_default();
            if is_rust_path(name) {
                let last = name.rsplit("::").next().unwrap();
                assert!(words.contains(last), "{document} names {name}");
            }
        }
    }
}

/// The longest that the way in may be, in lines.
const LONGEST: [(&str, usize); 2] = [("README.md", 180), ("ARCHITECTURE.md", 200)];

#[test]
fn the_way_in_is_short() {
    for (document, most) in LONGEST {
        let lines = fs::read_to_string(document).unwrap().lines().count();
        assert!(lines <= most, "{document} has {lines} lines, and at most {most} are read");
    }
}
