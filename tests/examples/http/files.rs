//! Files: which are found, by which versions they are told apart, and when there is no room to open one.

use std::fs;
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::SystemTime;

use tempfile::TempDir;

use super::table::{Answer, read};
use super::{site, with_files};
use crate::program::{Program, path};
use crate::waits::until;

/// One request on a connection of its own.
pub(crate) fn get(server: &Program, path: &str, fields: &str) -> Answer {
    let mut stream = BufReader::new(server.client());
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
    stream.get_mut().write_all(request.as_bytes()).unwrap();
    read(&mut stream, false).unwrap()
}

#[test]
fn a_directory_has_a_slash_and_a_file_has_none() {
    let dir = site();
    fs::create_dir(dir.path().join("public/bare")).unwrap();
    let server = with_files(&dir);
    for (asked, location) in [
        ("/files", "/files/"),
        ("/files/sub", "/files/sub/"),
        ("/files/sub?a=b?c", "/files/sub/?a=b?c"),
        ("/files/./s%75b", "/files/./s%75b/"),
        ("http://other/files/sub", "/files/sub/"),
    ] {
        let answer = get(&server, asked, "");
        assert_eq!((answer.status, answer.field("Location")), (301, Some(location)), "{asked}");
        assert_eq!(get(&server, location, "").status, 200, "{location}");
    }
    for path in ["/files/hello.txt/", "/files/bare", "/files/bare/", "/files/no/", "/filesystem"] {
        assert_eq!(get(&server, path, "").status, 404, "{path}");
    }
    server.stop();
}

#[test]
fn what_people_serve_has_its_type() {
    let dir = TempDir::new().unwrap();
    let root = dir.path().to_str().unwrap();
    let server = Program::start("http", &["--files", root]);
    for (name, media_type) in [
        ("a.html", "text/html; charset=utf-8"),
        ("a.HTM", "text/html; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.mjs", "text/javascript; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.js.map", "application/json"),
        ("a.webmanifest", "application/manifest+json"),
        ("a.wasm", "application/wasm"),
        ("a.pdf", "application/pdf"),
        ("a.svg", "image/svg+xml"),
        ("a.png", "image/png"),
        ("a.JPG", "image/jpeg"),
        ("a.gif", "image/gif"),
        ("a.webp", "image/webp"),
        ("a.avif", "image/avif"),
        ("favicon.ico", "image/x-icon"),
        ("a.woff2", "font/woff2"),
        ("a.woff", "font/woff"),
        ("a.ttf", "font/ttf"),
        ("a.mp4", "video/mp4"),
        ("a.webm", "video/webm"),
        ("a.mp3", "audio/mpeg"),
        ("a.tar.gz", "application/gzip"),
        ("a.zip", "application/zip"),
        ("a.xml", "application/xml"),
        ("a.csv", "text/csv; charset=utf-8"),
        ("a.unknown", "application/octet-stream"),
        ("wasm", "application/octet-stream"),
    ] {
        fs::write(dir.path().join(name), "x").unwrap();
        let answer = get(&server, &format!("/files/{name}"), "");
        assert_eq!(answer.field("Content-Type"), Some(media_type), "{name}");
    }
    server.stop();
}

#[test]
fn what_was_changed_just_now_has_only_weak_validators() {
    let dir = site();
    let server = with_files(&dir);
    let path = dir.path().join("public/hello.txt");
    let old = get(&server, "/files/hello.txt", "");
    let etag = old.field("ETag").unwrap();
    assert!(etag.starts_with('"'), "{etag}");
    // As long as before, and from now on until this very file is changed again it is in the future, so
    // that no busy machine can let it become old meanwhile.
    fs::write(&path, "abcdefghij").unwrap();
    let soon = SystemTime::now() + std::time::Duration::from_secs(3600);
    fs::File::options().write(true).open(&path).unwrap().set_modified(soon).unwrap();
    let new = get(&server, "/files/hello.txt", "");
    let weak = new.field("ETag").unwrap();
    assert!(weak.starts_with("W/\"") && !weak.contains(etag.trim_matches('"')), "{weak}");
    let modified = new.field("Last-Modified").unwrap();
    for (fields, status) in [
        (format!("If-None-Match: {etag}\r\n"), 200),
        (format!("If-None-Match: {weak}\r\n"), 304),
        (format!("If-Match: {weak}\r\n"), 412),
        (format!("Range: bytes=0-1\r\nIf-Range: {weak}\r\n"), 200),
        (format!("Range: bytes=0-1\r\nIf-Range: {modified}\r\n"), 200),
        ("Range: bytes=0-1\r\n".into(), 206),
    ] {
        assert_eq!(get(&server, "/files/hello.txt", &fields).status, status, "{fields}");
    }
    server.stop();
}

/// Clients take the descriptors until a file cannot be opened any more; it is there all the same.
#[test]
fn a_file_that_cannot_be_opened_now_is_503_and_not_404() {
    let dir = site();
    let public = dir.path().join("public");
    let example = path("http");
    // Longer than what the system takes of it at once.
    fs::File::create(public.join("huge")).unwrap().set_len(1 << 30).unwrap();
    let script = "ulimit -n 64; exec \"$0\" 127.0.0.1:0 --files \"$1\"";
    let server = Program::run(Command::new("sh").args(["-c", script]).args([example, public]));
    let ask = |stream: &mut BufReader<TcpStream>, path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        stream.get_mut().write_all(request.as_bytes()).unwrap();
        read(stream, false).unwrap().status
    };
    let mut first = BufReader::new(server.client());
    assert_eq!(ask(&mut first, "/files/hello.txt"), 200);
    let mut second = BufReader::new(server.client());
    assert_eq!(ask(&mut second, "/"), 200);
    let mut others: Vec<TcpStream> = (0..30).map(|_| server.client()).collect();
    for other in &mut others {
        other.write_all(b"GET /files/huge HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    }
    until("a refusal", || ask(&mut first, "/files/hello.txt") == 503);
    assert_eq!(ask(&mut first, "/files/nothing"), 503, "nothing is known without a descriptor");
    assert_eq!(ask(&mut first, "/"), 200);
    // Neither is there one for a body that memory is too small for.
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n";
    let post = [head.as_bytes(), &[b'x'; 200_000]].concat();
    second.get_mut().write_all(&post).unwrap();
    assert_eq!(read(&mut second, false).unwrap().status, 503);
    drop((others, second));
    until("room", || ask(&mut first, "/files/hello.txt") == 200);
    first.get_mut().write_all(&post).unwrap();
    assert_eq!(read(&mut first, false).unwrap().body.len(), 200_000);
    server.stop();
}

#[test]
fn words_that_are_no_text_and_nobody_who_listens_stop_nothing() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let dir = TempDir::new().unwrap();
    let odd = dir.path().join(OsStr::from_bytes(b"odd \xff"));
    // Not every file system takes such a name.
    if fs::create_dir(&odd).is_ok() {
        fs::write(odd.join("a.txt"), "text").unwrap();
        let mut command = Command::new(path("http"));
        let server = Program::run(command.arg("127.0.0.1:0").arg("--files").arg(&odd));
        assert_eq!(get(&server, "/files/a.txt", "").body, b"text");
        server.stop();
    }
    let no_text = OsStr::from_bytes(b"\xff");
    for example in ["http", "websocket"] {
        for words in [&[no_text][..], &[OsStr::new("127.0.0.1:0"), no_text, no_text], &[]] {
            let output = Command::new(path(example)).args(words).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!([1, 2].contains(&output.status.code().unwrap()), "{example} {words:?}: {said}");
            assert!(said.starts_with(&format!("{example}: ")), "{example} {words:?}: {said}");
            let closed = "exec \"$0\" \"$@\" 2>&-";
            let status =
                Command::new("sh").args(["-c", closed]).arg(path(example)).args(words).status();
            assert_eq!(status.unwrap().code(), output.status.code(), "{example} {words:?}");
        }
    }
}

#[test]
fn a_first_line_that_nobody_hears_stops_nothing() {
    for example in ["http", "websocket"] {
        let script = "exec \"$0\" 127.0.0.1:0 >&-";
        let mut child = Command::new("sh").args(["-c", script]).arg(path(example)).spawn().unwrap();
        // It has said its line, or tried to, when signals have a handler: the mask of those has a bit
        // for each.
        let has_handler = || {
            let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
            Some(u64::from_str_radix(line.trim(), 16).ok()? >> (libc::SIGTERM - 1) & 1 == 1)
        };
        if !std::path::Path::new("/proc/self/status").exists() {
            println!("skipped: nothing here says which signals a program handles");
            let _ = (child.kill(), child.wait());
            return;
        }
        until("the handler of the signal", || has_handler() == Some(true));
        let kill = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        assert!(kill.unwrap().success());
        let status = child.wait().unwrap();
        assert!(status.success(), "{example}: {status}");
    }
}
