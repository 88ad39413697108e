//! A server that answers before it has heard everything, and closes, does not destroy its answer: a
//! client that sends everything before it looks gets it all the same.

use std::io::{Read, Write};
use std::process::Command;

use crate::command::{Server, tcp};
use crate::program::{Program, has, run};

/// How often; when the answer was destroyed after the first MiB, it was two times out of three.
const TIMES: u32 = 20;

/// Posts `length` bytes, which are refused (405, or 413 for more than is allowed).
const POST: &str = r#"
import http.client, sys
host, times = sys.argv[1], int(sys.argv[2])
lost = []
for length, path, status in [(2 << 20, "/clock", 405), (8 << 20, "/echo", 413)]:
    for _ in range(times):
        connection = http.client.HTTPConnection(host, timeout=30)
        try:
            connection.request("POST", path, body=b"x" * length)
            answer = connection.getresponse()
            answer.read()
            if answer.status != status:
                lost.append((path, answer.status))
        except OSError as error:
            lost.append((path, error))
        connection.close()
print(len(lost), lost[:3])
"#;

#[test]
fn a_client_that_posts_megabytes_where_that_is_refused_gets_the_answer() {
    if !has("python3", &["--version"]) {
        return;
    }
    let server = Program::start("http", &["--body-limit", "4194304"]);
    let mut python = Command::new("python3");
    let said = run(python.args(["-c", POST, &server.addr, &TIMES.to_string()]));
    assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), "0 []");
    server.stop();
}

#[test]
fn a_client_that_sends_a_line_of_megabytes_ends_without_a_reset() {
    let mut server = Server::start(&["chat", "--tcp", "127.0.0.1:0", "--max-line", "100"]);
    let addr = server.tcp_addr();
    for _ in 0..TIMES {
        let (mut stream, mut other) = (tcp(&addr), tcp(&addr));
        // Both are in the room when the second one's line comes back to the first.
        other.write_all(b"hello\n").unwrap();
        let mut line = [0; 6];
        while stream.peek(&mut line).unwrap() < line.len() {}
        stream.write_all(&vec![b'x'; 4 << 20]).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "hello\n");
    }
}
