//! The mistakes that `tests/mistakes` puts back still fit into the sources.

use std::fs;
use std::path::Path;

/// What a patch expects to find, hunk by hunk.
fn expected(patch: &str) -> Vec<String> {
    let hunks = patch.split("\n@@ ").skip(1);
    let lines = hunks.map(|hunk| hunk.lines().skip(1).filter(|line| !line.starts_with('+')));
    lines
        .map(|lines| lines.map(|line| line.get(1..).unwrap_or("")).collect::<Vec<_>>().join("\n"))
        .collect()
}

#[test]
fn each_of_them_still_applies() {
    let mut patches = 0;
    for file in fs::read_dir("tests/mistakes").unwrap() {
        let file = file.unwrap().path();
        if file.extension().is_none_or(|kind| kind != "patch") {
            continue;
        }
        patches += 1;
        let patch = fs::read_to_string(&file).unwrap();
        for part in patch.split("--- a/").skip(1) {
            let name = part.lines().next().unwrap();
            let source = fs::read_to_string(Path::new(name)).unwrap();
            for hunk in expected(part) {
                assert!(source.contains(&hunk), "{}: not in {name}:\n{hunk}", file.display());
            }
        }
    }
    assert!(patches >= 11, "one for each mistake, at least");
}
