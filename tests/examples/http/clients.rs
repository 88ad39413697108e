//! Clients and a server that we did not write: Python's `http.client`, npm's `undici`, and nginx, which is
//! asked the same.

use std::fs;
use std::io::{BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::table::{Answer, read};
use super::{site, with_files};
use crate::program::{Program, has, run};
use crate::waits::until;

#[test]
fn pythons_http_client_gets_what_it_asks_for() {
    let dir = site();
    let server = with_files(&dir);
    if !has("python3", &["--version"]) {
        return;
    }
    let script = r#"
import http.client, sys
host, port = sys.argv[1].split(":")
connection = http.client.HTTPConnection(host, int(port), timeout=50)

def ask(method, path, body=None, headers={}, **more):
    connection.request(method, path, body, headers, **more)
    answer = connection.getresponse()
    return answer.status, answer.read(), answer

for size in [0, 1, 65536, 65537, 20_000_000]:
    body = bytes(nth % 251 for nth in range(251)) * (size // 251 + 1)
    body = body[:size]
    assert ask("POST", "/echo", body)[:2] == (200, body), size
parts = [b"one ", b"", b"two" * 100_000]
assert ask("POST", "/echo", iter(parts), encode_chunked=True)[1] == b"".join(parts)
assert ask("GET", "/")[:2] == (200, b"hello, world")
assert ask("HEAD", "/files/hello.txt")[:2] == (200, b"")
assert ask("GET", "/files/hello.txt", headers={"Range": "bytes=2-4"})[:2] == (206, b"234")
etag = ask("GET", "/files/hello.txt")[2].headers["ETag"]
assert ask("GET", "/files/hello.txt", headers={"If-None-Match": etag})[:2] == (304, b"")
assert ask("GET", "/files/hello.txt", headers={"If-Match": '"x"'})[0] == 412
assert ask("OPTIONS", "/")[2].headers["Allow"]
assert ask("GET", "/files/sub")[2].headers["Location"] == "/files/sub/"
# All of that was one connection.
status, body, answer = ask("GET", "/", headers={"Connection": "close"})
assert answer.will_close and body == b"hello, world"
print("as it should be")
"#;
    let output = run(Command::new("python3").args(["-c", script, &server.addr]));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "as it should be\n");
    server.stop();
}

/// The npm package `undici`, from where `NODE_PATH` says.
#[test]
fn undici_gets_what_it_asks_for() {
    let dir = site();
    let server = with_files(&dir);
    if !has("node", &["--version"]) {
        return;
    }
    let finds = Command::new("node").args(["-e", "require('undici')"]).output().unwrap();
    if !finds.status.success() {
        println!("skipped: the npm package undici is not installed, or NODE_PATH does not name it");
        return;
    }
    let script = r"
const { Client } = require('undici');
const assert = require('assert');
const { Readable } = require('stream');
const client = new Client(process.argv[1], { pipelining: 10 });
const ask = async (method, path, body, headers) => {
  const answer = await client.request({ method, path, body, headers });
  return [answer.statusCode, Buffer.from(await answer.body.arrayBuffer()), answer.headers];
};
(async () => {
  const large = Buffer.alloc(20_000_000, 'abcdefg');
  assert((await ask('POST', '/echo', large))[1].equals(large));
  const parts = Readable.from([Buffer.from('one '), large]);
  assert((await ask('POST', '/echo', parts))[1].equals(Buffer.concat([Buffer.from('one '), large])));
  // Many at once on one connection, each with its own answer.
  const paths = ['/', '/files/hello.txt', '/no', '/files/sub', '/files/large', '/files/empty'];
  const statuses = [200, 200, 404, 301, 200, 200];
  const all = await Promise.all([...Array(300).keys()].map((nth) => ask('GET', paths[nth % 6])));
  all.forEach(([status], nth) => assert.strictEqual(status, statuses[nth % 6]));
  assert.strictEqual(all[4][1].length, 5_000_000);
  const [, , { etag }] = await ask('HEAD', '/files/hello.txt');
  const range = { 'range': 'bytes=-3', 'if-range': etag };
  assert.deepStrictEqual((await ask('GET', '/files/hello.txt', null, range)).slice(0, 2),
                         [206, Buffer.from('789')]);
  assert.strictEqual((await ask('GET', '/files/hello.txt', null, { 'if-none-match': etag }))[0], 304);
  await client.close();
  console.log('as it should be');
})();
";
    let url = format!("http://{}", server.addr);
    let output = run(Command::new("node").args(["-e", script, &url]));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "as it should be\n");
    server.stop();
}

/// An nginx that serves the same files, and ends with the test.
struct Nginx {
    child: Child,
    dir: TempDir,
}

impl Nginx {
    fn start(files: &TempDir) -> Nginx {
        let dir = TempDir::new().unwrap();
        let config = format!(
            "daemon off; master_process off; pid {0}/pid; error_log {0}/log;
             events {{}}
             http {{
                 access_log off; client_body_temp_path {0}; proxy_temp_path {0};
                 fastcgi_temp_path {0}; uwsgi_temp_path {0}; scgi_temp_path {0};
                 server {{ listen unix:{0}/socket; location /files/ {{ alias {1}/public/; }} }}
             }}",
            dir.path().display(),
            files.path().display()
        );
        let path = dir.path().join("config");
        fs::write(&path, config).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-c").arg(&path).arg("-e").arg(dir.path().join("log"));
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let nginx = Nginx { child, dir };
        until("nginx", || nginx.connect().is_ok());
        nginx
    }

    fn connect(&self) -> std::io::Result<UnixStream> {
        UnixStream::connect(self.dir.path().join("socket"))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask<S: Read + Write>(stream: S, method: &str, path: &str, fields: &str) -> Answer {
    let mut stream = BufReader::new(stream);
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
    stream.get_mut().write_all(request.as_bytes()).unwrap();
    read(&mut stream, method == "HEAD").unwrap()
}

/// Fields that a request may have; the tag and the date are those of the server that is asked.
const CONDITIONS: &[&str] = &[
    "",
    "If-None-Match: {etag}\r\n",
    "If-None-Match: \"x\", {etag}\r\n",
    "If-None-Match: W/{etag}\r\n",
    "If-None-Match: \"x\"\r\n",
    "If-None-Match: *\r\n",
    "If-Match: {etag}\r\n",
    "If-Match: \"x\"\r\n",
    "If-Match: *\r\n",
    "If-Match: W/{etag}\r\n",
    "If-Modified-Since: {modified}\r\n",
    "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
    "If-Modified-Since: never\r\n",
    "If-Unmodified-Since: {modified}\r\n",
    "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
    "If-None-Match: \"x\"\r\nIf-Modified-Since: {modified}\r\n",
    "If-Match: \"x\"\r\nIf-None-Match: {etag}\r\n",
    "Range: bytes=2-4\r\nIf-None-Match: {etag}\r\n",
];

/// Those that are none may be ignored, as we do, or refused, as nginx does.
const RANGES: &[&str] = &[
    "bytes=0-0",
    "bytes=2-4",
    "bytes=5-",
    "bytes=-3",
    "bytes=-99",
    "bytes=0-99",
    "bytes=10-",
    "lines=1-2",
    "BYTES=2-4",
];

const IF_RANGES: &[&str] =
    &["", "If-Range: {etag}\r\n", "If-Range: \"x\"\r\n", "If-Range: {modified}\r\n"];

/// What both must say alike.
fn said(answer: Answer) -> (u16, [Option<String>; 2], String) {
    let parts = ["Content-Range", "Last-Modified"].map(|name| {
        let is_refusal = [412, 416].contains(&answer.status);
        let is_told = !is_refusal || name == "Content-Range";
        answer.field(name).filter(|_| is_told).map(String::from)
    });
    // What a refusal says is a matter of taste.
    let body = if answer.status < 300 { answer.body } else { Vec::new() };
    (answer.status, parts, String::from_utf8(body).unwrap())
}

#[test]
fn nginx_answers_the_same_for_files() {
    if !has("nginx", &["-v"]) {
        return;
    }
    let dir = site();
    let (server, nginx): (Program, _) = (with_files(&dir), Nginx::start(&dir));
    let ranges = RANGES.iter().flat_map(|range| {
        IF_RANGES.iter().map(move |if_range| format!("Range: {range}\r\n{if_range}"))
    });
    let fields: Vec<String> = CONDITIONS.iter().map(ToString::to_string).chain(ranges).collect();
    let both = |method: &str, path: &str, fields: &str| {
        [
            ask(server.client(), method, path, fields),
            ask(nginx.connect().unwrap(), method, path, fields),
        ]
    };
    let firsts = both("GET", "/files/hello.txt", "");
    for fields in &fields {
        // Where it is asked for a part of a HEAD, nginx takes that for a GET.
        let methods = if fields.contains("Range") { &["GET"][..] } else { &["GET", "HEAD"] };
        for method in methods {
            let mut answers = Vec::new();
            for (nth, first) in firsts.iter().enumerate() {
                let fields = fields.replace("{etag}", first.field("ETag").unwrap());
                let fields = fields.replace("{modified}", first.field("Last-Modified").unwrap());
                let answer = match nth {
                    0 => ask(server.client(), method, "/files/hello.txt", &fields),
                    _ => ask(nginx.connect().unwrap(), method, "/files/hello.txt", &fields),
                };
                answers.push(said(answer));
            }
            assert_eq!(answers[0], answers[1], "{method} with {fields:?}");
        }
    }
    for path in ["/files/sub", "/files/sub/", "/files/no", "/files/hello.txt/", "/files/no/"] {
        let [ours, theirs] = both("GET", path, "");
        assert_eq!(ours.status, theirs.status, "{path}");
    }
    server.stop();
}
