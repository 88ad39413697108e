//! What is drawn on a terminal, on narrow ones, on ones that are resized, and on dumb ones.

use std::process::Command;

use crate::command::{self, BIN, Server, bin, has};

/// Runs a command on a terminal of so many columns; the first `RESIZE` bytes it writes to it, if
/// there are any to count, are followed by a change to `COLUMNS_THEN`. All that was written comes out.
const TERMINAL: &str = "\
import fcntl, os, pty, struct, sys, termios
columns, then = int(sys.argv[1]), int(sys.argv[2])
def resize(fd, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', 24, columns, 0, 0))
pid, terminal = pty.fork()
if pid == 0:
    resize(0, columns)
    os.execvp(sys.argv[3], sys.argv[3:])
written = b''
while True:
    try:
        piece = os.read(terminal, 65536)
    except OSError:
        break
    if not piece:
        break
    written += piece
    if then and b'\\r\\x1b[K' in written:
        resize(terminal, then)
        then = 0
sys.stdout.buffer.write(written)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";

/// What is written to a terminal, which then may have another width.
fn on_terminal(columns: usize, then: usize, term: &str, words: &[&str]) -> String {
    let mut command = Command::new("python3");
    command.args(["-c", TERMINAL, &columns.to_string(), &then.to_string(), BIN]).args(words);
    command.env("TERM", term).env_remove("COLUMNS").env_remove("NO_COLOR");
    let output = command.output().unwrap();
    let written = String::from_utf8(output.stdout).unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {written}{err}");
    written.replace("\r\n", "\n")
}

/// The live line as it was drawn again and again, and what came after it.
fn drawn(written: &str) -> (Vec<&str>, &str) {
    let (head, rest) = written.rsplit_once("\r\x1B[K").unwrap_or(("", written));
    (head.split("\r\x1B[K").filter(|line| !line.is_empty()).collect(), rest)
}

fn widest(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
}

const RUN: &[&str] = &["bench", "--warmup", "10ms", "--duration", "600ms", "-c", "20"];

#[test]
fn nothing_is_wider_than_the_terminal() {
    if !has("python3") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("run.json");
    let json = json.to_str().unwrap();
    for columns in [40, 60, 120] {
        let written = on_terminal(columns, 0, "xterm", &[RUN, &["--json", json]].concat());
        let (live, table) = drawn(&written);
        assert!(live.iter().all(|line| line.len() < columns.min(80)), "{columns}: {live:?}");
        assert!(live.iter().any(|line| line.contains("of 20 up")), "{columns}: {live:?}");
        assert!(widest(table) <= columns, "{columns}: {table}");
        assert!(table.contains("messages/s") && table.contains("##"), "{table}");
        for words in [
            &["bench", "--compare", json, json][..],
            &["bench", "--check"],
            &["bench", "--help"],
            &["serve", "--help"],
            &["connect", "--help"],
            &["connect", "-h"],
            &["--help"],
        ] {
            // That limits are too low is no failure here.
            let words: Vec<&str> = words.to_vec();
            let written = match words.as_slice() {
                ["bench", "--check"] => on_terminal_any(columns, &words),
                words => on_terminal(columns, 0, "xterm", words),
            };
            let widest = widest(&written);
            let longest_word =
                written.split_whitespace().map(|word| word.chars().count()).max().unwrap_or(0);
            assert!(widest <= columns.max(longest_word + 2), "{columns}, {words:?}: {written}");
        }
    }
}

fn on_terminal_any(columns: usize, words: &[&str]) -> String {
    let mut command = Command::new("python3");
    command.args(["-c", TERMINAL, &columns.to_string(), "0", BIN]).args(words);
    String::from_utf8(command.output().unwrap().stdout).unwrap().replace("\r\n", "\n")
}

/// What goes to a file or a pipe has the same form wherever it was started.
#[test]
fn what_is_no_terminal_gets_whole_lines() {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("run.json");
    let json = json.to_str().unwrap();
    let (_, out, err) = command::run(&[RUN, &["--json", json]].concat());
    assert!(err.is_empty(), "{err}");
    assert!(widest(&out) > 60, "{out}");
    let (_, out, _) = command::run(&["bench", "--compare", json, json]);
    assert!(out.contains("  1.000 ± ") && widest(&out) > 60, "{out}");
}

#[test]
fn a_terminal_that_becomes_narrow_is_not_overwritten_with_long_lines() {
    if !has("python3") {
        return;
    }
    let words = ["bench", "--warmup", "10ms", "--duration", "2s", "-c", "20"];
    let written = on_terminal(100, 30, "xterm", &words);
    let (live, table) = drawn(&written);
    let long = live.iter().position(|line| line.len() >= 30);
    let Some(long) = long else { panic!("nothing was drawn while it was wide: {live:?}") };
    // What does not fit any more is left, and the next begins on a line of its own.
    assert!(live.iter().skip(long).any(|line| line.contains('\n')), "{live:?}");
    let last = live.last().unwrap().rsplit('\n').next().unwrap();
    assert!(last.len() < 30, "{live:?}");
    assert!(widest(table) <= 30, "{table}");
}

#[test]
fn a_dumb_terminal_gets_plain_lines() {
    if !has("python3") {
        return;
    }
    for (term, columns) in [("dumb", 80), ("", 80), ("dumb", 40), ("dumb", 24)] {
        let written = on_terminal(columns, 0, term, RUN);
        assert!(!written.contains('\x1B') && !written.contains('\r'), "{written:?}");
        assert_eq!(written.matches("measuring: ").count(), 1, "{written}");
        assert!(widest(&written) <= columns, "{columns}: {written}");
    }
}

#[test]
fn an_error_is_not_wider_than_the_terminal_either() {
    if !has("python3") {
        return;
    }
    for words in [
        &["connect", "/nosuch/directory/and/socket"][..],
        &["serve", "echo", "--unix", "/nosuch/directory/and/socket"],
        &["bench", "--compare", "/nosuch/directory", "/nosuch/directory"],
    ] {
        let written = on_terminal_any(40, words);
        assert!(written.replace("\n ", "").contains("No such file"), "{written}");
        assert!(widest(&written) <= 40, "{words:?}: {written}");
    }
}

/// Nothing is colored, so there is nothing that `NO_COLOR` has to take away.
#[test]
fn nothing_is_colored() {
    if !has("python3") {
        return;
    }
    for words in [&["serve", "--help"][..], RUN] {
        let written = on_terminal(80, 0, "xterm-256color", words).replace("\r\x1B[K", "");
        assert!(!written.contains('\x1B'), "{written:?}");
    }
    let mut command = bin();
    command.args(["serve", "echo", "--tcp", "127.0.0.1:0"]).env("RUST_LOG", "info");
    command.env("RUST_LOG_STYLE", "always").stderr(std::process::Stdio::piped());
    let mut server = Server::of(&mut command);
    server.line();
    server.signal("TERM");
    server.wait();
    let mut log = String::new();
    std::io::Read::read_to_string(&mut server.child.stderr.take().unwrap(), &mut log).unwrap();
    assert!(log.contains("stopped") && !log.contains('\x1B'), "{log:?}");
}
