//! The servers in Python, if there is a `python3`.

use std::process::{Command, Stdio};

const ECHO: &str = include_str!("echo.py");

/// Fails without a module that the servers need, else prints the version of Python.
const PROBE: &str = "import asyncio, platform, socketserver; print(platform.python_version())";

/// Returns the version of Python; `None` if it or a module is missing.
pub(crate) fn version() -> Option<String> {
    let output = isolated(PROBE).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let version = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !version.is_empty()).then(|| String::from(version.trim()))
}

/// The command of a server; the caller adds the role.
pub(crate) fn command() -> Command {
    isolated(ECHO)
}

/// Ignores the environment and the current directory.
fn isolated(script: &str) -> Command {
    let mut command = Command::new("python3");
    command.args(["-I", "-c", script]);
    command
}
