//! The example `websocket`, driven by clients we did not write, and by frames that no client sends.

mod clients;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::program::{Program, has, python_with, run};
use crate::waits::{PATIENCE, delay, pace};
use tempfile::TempDir;

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const REST: &str = "Host: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
                    Sec-WebSocket-Version: 13\r\n";

fn request() -> String {
    format!("GET / HTTP/1.1\r\n{REST}{KEY}\r\n")
}

/// A connection on which frames may follow.
fn open(server: &Program) -> TcpStream {
    let mut stream = server.client();
    stream.write_all(request().as_bytes()).unwrap();
    let head = read_head(&mut stream);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
    stream
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// A masked frame with this first byte.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | len as u8),
        len @ 126..65_536 => {
            frame.push(0xFE);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(0xFF);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    let mask = [0x12, 0x34, 0x56, 0x78];
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The next frame that came: its first byte and its payload.
fn receive(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    let width = match head[1] {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mut length = [0; 8];
    stream.read_exact(&mut length[8 - width..]).unwrap();
    let len = if width == 0 { u64::from(head[1]) } else { u64::from_be_bytes(length) };
    let mut payload = vec![0; len as usize];
    stream.read_exact(&mut payload).unwrap();
    (head[0], payload)
}

/// Everything up to the end, which must come. A reset is an end like another.
fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
        _ => all,
    }
}

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8A;

#[test]
fn a_handshake_that_is_not_one_is_refused() {
    let server = Program::start("websocket", &[]);
    for (request, expected) in [
        (request().replace("13", "8"), "426"),
        (request().replace("Sec-WebSocket-Version: 13\r\n", ""), "426"),
        (request().replace(KEY, ""), "400"),
        (request().replace(KEY, &KEY.repeat(2)), "400"),
        (request().replace("dGhlIHNhbXBsZSBub25jZQ==", "short"), "400"),
        (request().replace("keep-alive, Upgrade", "keep-alive"), "400"),
        (request().replace("Host: a\r\n", ""), "400"),
        (request().replace("GET", "POST"), "405"),
        (request().replace("GET /", "GET *"), "400"),
        (request().replace("Host: a\r\n", "Host: a\r\nHost: a\r\n"), "400"),
        (request().replace("Host: a", "Host: a/b"), "400"),
        (request().replace("HTTP/1.1", "HTTP/2.0"), "505"),
        (request().replace("Host: a\r\n", "Host: a\r\nContent-Length: 5\r\n"), "400"),
        (request().replace("Host: a\r\n", "Host: a\r\nTransfer-Encoding: chunked\r\n"), "400"),
        // What is to be ignored there.
        (request().replace("HTTP/1.1", "HTTP/1.0"), "200"),
        (request().replace("GET", "HEAD"), "200"),
        (request().replace("Upgrade: websocket", "Upgrade: h2c"), "200"),
        ("nonsense\r\n\r\n".into(), "400"),
        (format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(9_000)), "431"),
        (request().replace("\r\n\r\n", &"\r\nX: y".repeat(100)) + "\r\n\r\n", "431"),
        // A bare LF, also where the end of the head is never seen for it.
        (request().replace("Host: a\r\n", "Host: a\n"), "400"),
        (request().replace("\r\n", "\n"), "400"),
        (request().replace("\r\n\r\n", "\r\n\n"), "400"),
        (format!("\n{}", request()), "400"),
        ("GET / HTTP/1.1\n".into(), "400"),
    ] {
        let mut stream = server.client();
        stream.write_all(request.as_bytes()).unwrap();
        let answer = String::from_utf8(read_to_end(&mut stream)).unwrap();
        assert_eq!(answer.split(' ').nth(1), Some(expected), "{request:.300}: {answer}");
        assert!(answer.contains("\r\nDate: "), "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let length = head.split("Content-Length: ").nth(1).unwrap().split("\r\n").next().unwrap();
        let is_for_head = request.starts_with("HEAD ");
        assert!(length == body.len().to_string() || is_for_head && body.is_empty(), "{answer}");
    }
    server.stop();
}

#[test]
fn who_comes_with_another_version_is_told_to_what_it_may_upgrade() {
    let server = Program::start("websocket", &[]);
    let mut stream = server.client();
    stream.write_all(request().replace("13", "99").as_bytes()).unwrap();
    let answer = String::from_utf8(read_to_end(&mut stream)).unwrap();
    for field in [
        "HTTP/1.1 426 ",
        "\r\nUpgrade: websocket\r\n",
        "\r\nSec-WebSocket-Version: 13\r\n",
        "\r\nConnection: Upgrade\r\n",
        "\r\nConnection: close\r\n",
    ] {
        assert!(answer.contains(field), "{field:?}: {answer}");
    }
    server.stop();
}

#[test]
fn a_head_has_no_body_whatever_it_is_answered() {
    let server = Program::start("websocket", &[]);
    let host = "Host: a\r\n";
    let mut stream = server.client();
    stream.write_all(format!("GET / HTTP/1.1\r\n{host}\r\n").as_bytes()).unwrap();
    let page = String::from_utf8(read_to_end(&mut stream)).unwrap();
    let length = page.split_once("\r\n\r\n").unwrap().1.len();
    for (head, status) in [
        (format!("HEAD / HTTP/1.1\r\n{host}\r\n"), "200"),
        (format!("\r\nHEAD / HTTP/1.1\r\n{host}\r\n"), "200"),
        ("HEAD / HTTP/1.1\r\n\r\n".into(), "400"),
        ("HEAD / HTTP/1.1\nHost: a\r\n\r\n".into(), "400"),
        (format!("HEAD / HTTP/2.0\r\n{host}\r\n"), "505"),
    ] {
        let mut stream = server.client();
        stream.write_all(head.as_bytes()).unwrap();
        let answer = String::from_utf8(read_to_end(&mut stream)).unwrap();
        assert_eq!(answer.split(' ').nth(1), Some(status), "{head}: {answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{head}: {answer}");
        let is_right = status != "200" || answer.contains(&format!("Content-Length: {length}\r\n"));
        assert!(is_right, "as long as that of a GET: {answer}");
    }
    server.stop();
}

#[test]
fn every_split_of_a_conversation_gives_the_same_answers() {
    let server = Program::start("websocket", &[]);
    let conversation = [
        format!("\r\n{}", request()).into_bytes(),
        frame(TEXT, "κόσμε".as_bytes()),
        frame(0x02, b"in "),
        frame(PING, b"between"),
        frame(0x00, &[b'x'; 130]),
        frame(0x80, b""),
        frame(BINARY, b""),
        frame(PONG, b"unasked"),
        frame(CLOSE, b"\x03\xE8bye"),
    ]
    .concat();
    let ask = |pieces: &[&[u8]]| {
        let mut stream = server.client();
        for piece in pieces {
            stream.write_all(piece).unwrap();
            // So that each piece is read alone, most of the time.
            pace(Duration::from_micros(300));
        }
        let head = read_head(&mut stream);
        (head, read_to_end(&mut stream))
    };
    let whole = ask(&[&conversation]);
    let expected = [
        &[TEXT, 10][..],
        "κόσμε".as_bytes(),
        b"\x8A\x07between\x82\x7E\0\x85in ",
        &[b'x'; 130],
        b"\x82\0\x88\x02\x03\xE8",
    ];
    assert_eq!(whole.1, expected.concat());
    for at in 1..conversation.len() {
        let (first, second) = conversation.split_at(at);
        assert_eq!(ask(&[first, second]), whole, "cut at {at}");
    }
    let bytes: Vec<&[u8]> = conversation.chunks(1).collect();
    assert_eq!(ask(&bytes), whole, "byte by byte");
    server.stop();
}

#[test]
fn what_no_client_may_send_ends_with_the_code_for_it() {
    let server = Program::start("websocket", &["--message-limit", "1000"]);
    let reserved = |opcode: u8| frame(0x80 | opcode, b"");
    let mut unmasked = frame(TEXT, b"abc");
    unmasked[1] &= 0x7F;
    for (what, frames, code) in [
        ("no mask", unmasked, 1002_u16),
        ("a reserved bit", frame(0xC1, b"a"), 1002),
        ("another reserved bit", frame(0x91, b"a"), 1002),
        ("a reserved opcode", reserved(3), 1002),
        ("a reserved control opcode", reserved(0xB), 1002),
        ("a long ping", frame(PING, &[0; 126]), 1002),
        ("a ping in fragments", frame(0x09, b"a"), 1002),
        ("a long goodbye", frame(CLOSE, &[0; 126]), 1002),
        ("a continuation of nothing", frame(0x80, b"a"), 1002),
        ("a message within a message", [frame(0x01, b"a"), frame(TEXT, b"b")].concat(), 1002),
        ("a length longer than it must be", b"\x82\xFE\0\x01abcdx".to_vec(), 1002),
        ("a length of 64 bits", b"\x82\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFFabcd".to_vec(), 1002),
        ("half a code", frame(CLOSE, b"\x03"), 1002),
        ("a code not to be sent", frame(CLOSE, &1005_u16.to_be_bytes()), 1002),
        ("a code that is none", frame(CLOSE, &999_u16.to_be_bytes()), 1002),
        ("a reason that is no text", frame(CLOSE, b"\x03\xE8\xFF"), 1007),
        ("no text", frame(TEXT, b"ab\xFFcd"), 1007),
        ("half a character at the end", frame(TEXT, b"ab\xE2\x82"), 1007),
        (
            "a surrogate over two frames",
            [frame(0x01, b"\xED"), frame(0x00, b"\xA0")].concat(),
            1007,
        ),
        ("no text, seen before the frame is complete", frame(TEXT, b"a\xFFb")[..8].to_vec(), 1007),
        ("a long frame, seen by its head", frame(BINARY, &[0; 1001])[..8].to_vec(), 1009),
        ("a long message", [frame(0x02, &[0; 600]), frame(0x80, &[0; 401])].concat(), 1009),
    ] {
        let mut stream = open(&server);
        // What stands before the fault is answered.
        stream.write_all(&[frame(TEXT, b"first"), frames].concat()).unwrap();
        assert_eq!(receive(&mut stream), (TEXT, b"first".to_vec()), "{what}");
        assert_eq!(receive(&mut stream), (CLOSE, code.to_be_bytes().to_vec()), "{what}");
        assert_eq!(read_to_end(&mut stream), b"", "{what}");
    }
    let mut stream = open(&server);
    stream.write_all(&[frame(0x02, &[7; 600]), frame(0x80, &[7; 400])].concat()).unwrap();
    assert_eq!(receive(&mut stream), (BINARY, vec![7; 1000]), "exactly as long as allowed");
    stream.write_all(&frame(CLOSE, b"")).unwrap();
    assert_eq!(receive(&mut stream), (CLOSE, vec![]), "a goodbye without a code");
    server.stop();
}

#[test]
fn who_is_silent_is_asked_and_then_left() {
    let words = ["--handshake-timeout", "0.5", "--ping-every", "0.5"];
    let server = Program::start("websocket", &words);
    let began = Instant::now();
    let mut slow = server.client();
    slow.write_all(b"GET / HTTP/1.1\r\nHost").unwrap();
    let (mut silent, mut polite) = (open(&server), open(&server));
    for _ in 0..3 {
        assert_eq!(receive(&mut polite), (PING, vec![]));
        polite.write_all(&frame(PONG, b"")).unwrap();
    }
    assert_eq!(receive(&mut silent), (PING, vec![]));
    assert_eq!(read_to_end(&mut silent), b"");
    assert!(read_to_end(&mut slow).starts_with(b"HTTP/1.1 408 "));
    polite.write_all(&frame(TEXT, b"here")).unwrap();
    let mut came = receive(&mut polite);
    while came.0 == PING {
        came = receive(&mut polite);
    }
    assert_eq!(came, (TEXT, b"here".to_vec()));
    assert!(began.elapsed() < PATIENCE);
    server.stop();
}

#[test]
fn who_is_connected_at_a_stop_is_told_and_may_say_goodbye() {
    let server = Program::start("websocket", &[]);
    let mut stream = open(&server);
    let client = thread::spawn(move || {
        assert_eq!(receive(&mut stream), (CLOSE, 1001_u16.to_be_bytes().to_vec()));
        stream.write_all(&frame(TEXT, b"too late")).unwrap();
        stream.write_all(&frame(CLOSE, &1001_u16.to_be_bytes())).unwrap();
        assert_eq!(read_to_end(&mut stream), b"", "it answers no more");
    });
    let mut rude = open(&server);
    server.stop();
    client.join().unwrap();
    assert_eq!(receive(&mut rude).0, CLOSE);
}

#[test]
fn a_flood_without_a_reader_waits_at_bounded_memory() {
    let server = Program::start("websocket", &[]);
    let mut stream = open(&server);
    let mut writer = stream.try_clone().unwrap();
    let message: Vec<u8> = (0..100_000_u32).map(|nth| (nth % 251) as u8).collect();
    let frames = frame(BINARY, &message);
    let sent = thread::spawn(move || (0..500).for_each(|_| writer.write_all(&frames).unwrap()));
    // Nothing is read for a while: the server has to do with what it has.
    delay(Duration::from_millis(500));
    for _ in 0..500 {
        assert!(receive(&mut stream) == (BINARY, message.clone()));
    }
    sent.join().unwrap();
    // Many in one read, with nothing behind them that would wake anybody.
    let small = frame(TEXT, &[b'x'; 100]).repeat(20_000);
    let mut writer = stream.try_clone().unwrap();
    let sent = thread::spawn(move || writer.write_all(&small).unwrap());
    for _ in 0..20_000 {
        assert_eq!(receive(&mut stream), (TEXT, vec![b'x'; 100]));
    }
    sent.join().unwrap();
    if let Some(peak) = server.peak_memory() {
        assert!(peak < 16 << 10, "{peak} KiB");
    }
    server.stop();
}

// Clients that we did not write.

const WEBSOCKETS: &str = r#"
import asyncio, sys, websockets

async def fragments(parts):
    for part in parts:
        yield part

async def main():
    async with websockets.connect(sys.argv[1], compression=None, max_size=None) as ws:
        for message in ["", "a", "κόσμε" * 100, "x" * 125, "x" * 126, "x" * 65535, "x" * 65536,
                        b"", bytes(range(256)) * 4096]:
            await ws.send(message)
            assert await ws.recv() == message, len(message)
        await ws.send(fragments(["one ", "", "two"]))
        assert await ws.recv() == "one two"
        await asyncio.wait_for(await ws.ping(b"there?"), 20)
        many = [str(nth) * (nth % 300) for nth in range(2000)]
        async def sender():
            for message in many:
                await ws.send(message)
        task = asyncio.ensure_future(sender())
        for message in many:
            assert await ws.recv() == message
        await task
        await asyncio.sleep(2.5)
        await ws.send("still there")
        assert await ws.recv() == "still there"
        await ws.close(4321, "enough")
        assert ws.close_code == 4321, ws.close_code
    async with websockets.connect(sys.argv[1], compression=None, max_size=None) as ws:
        await ws.send(b"x" * (1024 * 1024 + 1))
        try:
            await ws.recv()
        except websockets.ConnectionClosed:
            assert ws.close_code == 1009, ws.close_code
        else:
            raise AssertionError("more than the limit came back")
    print("all came back")

asyncio.run(main())
"#;

/// Python's `websockets`, from where `WEBSOCKETS_PYTHON` says, or else from any Python.
#[test]
fn pythons_websockets_gets_everything_back() {
    let server = Program::start("websocket", &["--ping-every", "1"]);
    let Some(mut python) = python_with("websockets", "WEBSOCKETS_PYTHON") else { return };
    let url = format!("ws://{}/", server.addr);
    let output = run(python.args(["-c", WEBSOCKETS, &url]));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "all came back\n");
    server.stop();
}

/// The npm package `ws`, from where `NODE_PATH` says.
#[test]
fn nodes_ws_gets_everything_back() {
    let server = Program::start("websocket", &[]);
    if !has("node", &["--version"]) {
        return;
    }
    if !Command::new("node").args(["-e", "require('ws')"]).output().unwrap().status.success() {
        println!("skipped: the npm package ws is not installed, or NODE_PATH does not name it");
        return;
    }
    let script = r"
const WebSocket = require('ws');
const assert = require('assert');
const ws = new WebSocket(process.argv[1]);
const sent = ['', 'a', 'κόσμε'.repeat(100), 'x'.repeat(65536), Buffer.alloc(1 << 20, 7)];
let got = 0, ponged = false;
ws.on('pong', (data) => { ponged = data.toString() === 'there?'; });
ws.on('open', () => {
  ws.ping('there?');
  for (const message of sent) ws.send(message);
  ws.send('one ', { fin: false });
  ws.send('two', { fin: true });
});
ws.on('message', (data, isBinary) => {
  const expected = got < sent.length ? sent[got] : 'one two';
  assert.strictEqual(isBinary, typeof expected !== 'string');
  assert(Buffer.from(expected).equals(data), 'message ' + got);
  got += 1;
  if (got > sent.length) ws.close(4321, 'enough');
});
ws.on('close', (code) => {
  assert.strictEqual(code, 4321);
  assert(ponged);
  console.log('all came back');
});
";
    let url = format!("ws://{}/", server.addr);
    let output = run(Command::new("node").args(["-e", script, &url]));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "all came back\n");
    server.stop();
}

#[test]
fn a_browser_gets_its_message_back() {
    let server = Program::start("websocket", &[]);
    if !has("chromium", &["--version"]) {
        return;
    }
    let mut stream = server.client();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let answer = String::from_utf8(read_to_end(&mut stream)).unwrap();
    let page = answer.split_once("\r\n\r\n").unwrap().1;
    // The browser tells what it shows once everything is loaded: its page gets a picture that takes
    // a while.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let picture = format!("<img src=http://{}/>", listener.local_addr().unwrap());
    let page = page.replace("location.host", &format!("'{}'", server.addr)) + &picture;
    thread::spawn(move || {
        let picture = listener.accept();
        delay(Duration::from_secs(2));
        drop(picture);
    });
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("page.html");
    fs::write(&path, page).unwrap();
    let profile = format!("--user-data-dir={}", dir.path().join("profile").display());
    let mut command = Command::new("chromium");
    command.args(["--headless", "--no-sandbox", "--disable-gpu", &profile, "--dump-dom"]);
    let output = run(command.arg(format!("file://{}", path.display())));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("open\nreceived: hello\n"), "{said}");
    server.stop();
}
