//! The servers of Python, if there is a `python3`.

use std::process::{Command, Stdio};

const ECHO: &str = include_str!("echo.py");

/// Fails without what the servers need, and tells which Python it is.
const PROBE: &str = "import asyncio, platform, socketserver; print(platform.python_version())";

/// Its version, unless it is missing or lacks something.
pub(crate) fn version() -> Option<String> {
    let output = isolated(PROBE).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let version = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !version.is_empty()).then(|| String::from(version.trim()))
}

/// A server, as soon as it is told its role.
pub(crate) fn command() -> Command {
    isolated(ECHO)
}

/// Without what the environment or the current directory would add.
fn isolated(script: &str) -> Command {
    let mut command = Command::new("python3");
    command.args(["-I", "-c", script]);
    command
}
