//! Writes the seeds of every target as files: `fuzz_seeds FOLDER` makes `FOLDER/TARGET/NAME`.

use std::io::{self, Error};
use std::path::PathBuf;
use std::{env, fs};

// What counts branches is linked into this program too, and called.
use libfuzzer_sys as _;
use socketserver_fuzz::TARGETS;

fn main() -> io::Result<()> {
    let folder = env::args_os().nth(1).ok_or_else(|| Error::other("usage: fuzz_seeds FOLDER"))?;
    for target in TARGETS {
        let folder = PathBuf::from(&folder).join(target.name);
        fs::create_dir_all(&folder)?;
        for (name, bytes) in (target.seeds)() {
            fs::write(folder.join(name), bytes)?;
        }
    }
    Ok(())
}
