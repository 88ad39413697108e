//! What each service of the command answers, to clients of every kind.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::command::{Server, exchange, has, read_to_end, tcp, unix};
use crate::waits::{silence, until_still};

#[test]
fn echo_sends_everything_back_over_every_kind_of_listener() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let words = ["echo", "--tcp", "127.0.0.1:0", "--tcp", "[::1]:0", "--unix"];
    let mut words: Vec<&std::ffi::OsStr> = words.iter().map(AsRef::as_ref).collect();
    words.push(path.as_os_str());
    let mut server = Server::start(&words);
    let (four, six) = (server.tcp_addr(), server.tcp_addr());
    assert!(four.starts_with("127.0.0.1:") && six.starts_with("[::1]:"), "{four} {six}");
    assert_eq!(server.line(), format!("listening unix {}", path.display()));

    let bytes: Vec<u8> = (0..100_000_u32).map(|n| ((n * 7) >> 3) as u8).collect();
    for addr in [four, six] {
        let mut stream = tcp(&addr);
        let mut sender = stream.try_clone().unwrap();
        let sent = bytes.clone();
        let writer = thread::spawn(move || {
            sender.write_all(&sent).unwrap();
            sender.shutdown(Shutdown::Write).unwrap();
        });
        assert!(read_to_end(&mut stream) == bytes);
        writer.join().unwrap();
    }
    let mut stream = unix(&path);
    assert!(exchange(&mut stream, &bytes[..60_000]) == bytes[..60_000]);
    server.stop();
    assert!(!path.exists());
}

#[test]
fn upper_changes_the_letters_a_to_z_and_no_other_byte() {
    let mut server = Server::start(&["upper", "--tcp", "127.0.0.1:0"]);
    let mut stream = tcp(&server.tcp_addr());
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(exchange(&mut stream, &all), all.to_ascii_uppercase());
    server.stop();
}

#[test]
fn discard_says_nothing_and_ends_when_its_client_ends() {
    let mut server = Server::start(&["discard", "--tcp", "127.0.0.1:0"]);
    let mut stream = tcp(&server.tcp_addr());
    stream.write_all(&vec![7; 1 << 20]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut stream), b"");
    server.stop();
}

#[test]
fn chargen_sends_the_lines_of_rfc_864_and_waits_for_a_client_that_does_not_read() {
    let mut server = Server::start(&["chargen", "--tcp", "127.0.0.1:0"]);
    let mut stream = tcp(&server.tcp_addr());
    let mut lines = vec![0; 74 * 1_000];
    stream.read_exact(&mut lines).unwrap();
    for (n, line) in lines.chunks(74).enumerate() {
        let text: Vec<u8> = (0..72).map(|column| b' ' + ((n + column) % 95) as u8).collect();
        assert_eq!(line, [&text[..], b"\r\n"].concat(), "line {n}");
    }
    // Nobody reads on. The kernel's buffers fill, and then the server must do nothing at all.
    let cpu = until_still(std::time::Duration::from_millis(20), || server.cpu());
    let memory = server.memory();
    // Silence is what is tested.
    silence(std::time::Duration::from_millis(300));
    assert!(server.cpu() <= cpu + std::time::Duration::from_millis(10), "it spins");
    assert!(server.memory() <= memory + 64, "it grows");
    stream.read_exact(&mut lines).unwrap();
    drop(stream);
    server.stop();
}

#[test]
fn daytime_and_time_answer_once_and_close() {
    let mut server = Server::start(&["daytime", "--tcp", "127.0.0.1:0"]);
    let line = read_to_end(&mut tcp(&server.tcp_addr()));
    let line = String::from_utf8(line).unwrap();
    assert!(line.ends_with("\r\n") && line.contains(':') && line.contains("20"), "{line:?}");
    server.stop();

    let mut server = Server::start(&["time", "--tcp", "127.0.0.1:0"]);
    let seconds = read_to_end(&mut tcp(&server.tcp_addr()));
    let seconds = u32::from_be_bytes(seconds.try_into().unwrap());
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let off = u64::from(seconds.wrapping_sub(2_208_988_800)).abs_diff(since_1970 & 0xFFFF_FFFF);
    assert!(off <= 5, "it is {off} seconds off");
    server.stop();
}

#[test]
fn a_client_that_talks_first_still_gets_the_time() {
    let mut server = Server::start(&["time", "--tcp", "127.0.0.1:0"]);
    let addr = server.tcp_addr();
    for _ in 0..50 {
        let mut stream = tcp(&addr);
        // Bytes that nobody reads must not become a reset that destroys the answer. The write may
        // come too late, which is no harm.
        let _ = stream.write_all(&[1; 1_000]);
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).unwrap();
    }
    server.stop();
}

/// Runs a shell script with the address in `$HOST` and `$PORT`; gives what it printed.
fn script(text: &str, addr: &str) -> String {
    let (host, port) = addr.rsplit_once(':').unwrap();
    let output = Command::new("sh")
        .args(["-c", text])
        .env("HOST", host)
        .env("PORT", port)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn netcat_gets_its_answer_after_a_half_close() {
    if !has("nc") {
        return;
    }
    let mut server = Server::start(&["upper", "--tcp", "127.0.0.1:0"]);
    let addr = server.tcp_addr();
    let said = script("printf 'hello\\nworld\\n' | nc -N $HOST $PORT", &addr);
    assert_eq!(said, "HELLO\nWORLD\n");
    server.stop();
}

#[test]
fn socat_gets_a_mebibyte_back_whole() {
    if !has("socat") {
        return;
    }
    let mut server = Server::start(&["echo", "--tcp", "127.0.0.1:0"]);
    let addr = server.tcp_addr();
    let text = "head -c 1048576 /dev/zero | tr '\\0' x | socat -t 20 - TCP:$HOST:$PORT | wc -c";
    assert_eq!(script(text, &addr).trim(), "1048576");
    server.stop();
}

#[test]
fn pythons_socket_talks_to_it_as_in_a_textbook() {
    if !has("python3") {
        return;
    }
    let mut server = Server::start(&["upper", "--tcp", "127.0.0.1:0"]);
    let addr = server.tcp_addr();
    let client = "\
import os, socket
soc = socket.socket()
soc.connect((os.environ['HOST'], int(os.environ['PORT'])))
for word in ('你好 a', 'hello', 'q'):
    soc.send(word.encode('utf-8'))
    print(soc.recv(1024).decode('utf-8'))
soc.close()
";
    let said = script(&format!("python3 - <<'END'\n{client}END"), &addr);
    assert_eq!(said, "你好 A\nHELLO\nQ\n");
    server.stop();
}
