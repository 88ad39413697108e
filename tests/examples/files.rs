//! The uploads of the examples: by their own client, and by hand where a client must misbehave.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;

use crate::command::{self, Server, has, read_to_end, tcp};
use crate::program;
use crate::waits::{PATIENCE, find, pace, until};

fn serve_with(dir: &Path, options: &[&str]) -> (Server, String) {
    let mut command = program::command("files");
    command.arg("serve").arg(dir).arg("127.0.0.1:0").args(options);
    let mut server = Server::of(command.stderr(Stdio::null()));
    let addr = server.tcp_addr();
    (server, addr)
}

fn serve(dir: &Path) -> (Server, String) {
    serve_with(dir, &[])
}

fn put(file: &Path, addr: &str, options: &[&str]) -> Output {
    program::command("files").arg("put").arg(file).arg(addr).args(options).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn content(len: usize) -> Vec<u8> {
    (0..=len as u64 / 8)
        .flat_map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes())
        .take(len)
        .collect()
}

/// A file to be uploaded, called `file`.
fn file_of(bytes: &[u8]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), bytes).unwrap();
    directory
}

/// Everything in a directory, in order.
fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn is_partial(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "part")
}

fn announce(name: &str, content: &[u8], mode: &str) -> Vec<u8> {
    let checksum = blake3::hash(content).to_hex();
    format!("put {name} {} {checksum} {mode}\n", content.len()).into_bytes()
}

/// An upload by hand, as far as the answer to its announcement.
fn begin(addr: &str, announcement: &[u8]) -> (TcpStream, String) {
    let mut stream = tcp(addr);
    stream.write_all(announcement).unwrap();
    let answer = line(&stream);
    (stream, answer)
}

fn line(stream: &TcpStream) -> String {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}

/// Uploads so much of `content` by hand and breaks off, once the server has it.
fn break_off(addr: &str, dir: &Path, content: &[u8], at: usize) {
    let (mut stream, have) = begin(addr, &announce("file", content, "new"));
    let have: usize = have.trim().strip_prefix("have ").unwrap().parse().unwrap();
    stream.write_all(&content[have.min(at)..at]).unwrap();
    let len = || {
        let partial = names(dir).into_iter().find(|name| is_partial(name));
        partial.map_or(0, |name| fs::metadata(dir.join(name)).unwrap().len())
    };
    until("what was sent", || len() >= at as u64);
}

#[test]
fn files_of_every_size_arrive_byte_for_byte() {
    let kept = tempfile::tempdir().unwrap();
    let (server, addr) = serve(kept.path());
    for len in [0, 1, 1 << 18, (1 << 18) + 1, 100_000_000] {
        let bytes = content(len);
        let file = file_of(&bytes);
        let name = format!("größe {len}.bin");
        let output = put(&file.path().join("file"), &addr, &["--as", &name]);
        assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), ""));
        assert!(fs::read(kept.path().join(&name)).unwrap() == bytes, "{len}");
    }
    assert_eq!(names(kept.path()).len(), 5, "nothing else is left");
    // However large the file, it never holds more than a few pieces of it.
    assert!(server.memory() < 32 << 10, "{} KiB", server.memory());
    server.stop();
}

#[test]
fn an_upload_that_was_cut_is_resumed_wherever_that_was() {
    let bytes = content(3_000_000);
    let file = file_of(&bytes);
    for at in [0, 1, 1_000, 1 << 18, 1_500_000, 2_999_999] {
        let kept = tempfile::tempdir().unwrap();
        let (server, addr) = serve(kept.path());
        break_off(&addr, kept.path(), &bytes, at);
        assert!(!kept.path().join("file").exists());
        let (stream, have) = resumed(&addr, &announce("file", &bytes, "new"));
        assert_eq!(have, format!("have {at}\n"));
        drop(stream);
        until_put(&file.path().join("file"), &addr, &[]);
        assert!(fs::read(kept.path().join("file")).unwrap() == bytes, "cut at {at}");
        assert_eq!(names(kept.path()), ["file"]);
        server.stop();
    }
}

/// Begins again, once the server has noticed that the last one is gone.
fn resumed(addr: &str, announcement: &[u8]) -> (TcpStream, String) {
    let began = Instant::now();
    loop {
        let (stream, have) = begin(addr, announcement);
        if !have.contains("already") {
            return (stream, have);
        }
        assert!(began.elapsed() < PATIENCE, "{have}");
    }
}

fn until_put(file: &Path, addr: &str, options: &[&str]) {
    let began = Instant::now();
    loop {
        let output = put(file, addr, options);
        if output.status.success() {
            return;
        }
        // Whoever has left still has the name, or fills the disk, until that is noticed.
        let is_for_now = ["being uploaded already", "is full"];
        assert!(is_for_now.iter().any(|why| said(&output).contains(why)), "{}", said(&output));
        assert!(began.elapsed() < PATIENCE);
    }
}

/// Passes connections on to `to`; cuts the first one after so many bytes.
fn cutting_once(to: String, after: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for (nth, client) in listener.incoming().enumerate() {
            let (mut client, mut server) = (client.unwrap(), TcpStream::connect(&to).unwrap());
            let (mut back, mut answers) =
                (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut answers, &mut back));
            let mut piece = vec![0; 1 << 16];
            let mut passed = 0;
            while let Ok(n @ 1..) = client.read(&mut piece) {
                server.write_all(&piece[..n]).unwrap();
                passed += n;
                if nth == 0 && passed > after {
                    break;
                }
            }
            for end in [&client, &server] {
                end.shutdown(std::net::Shutdown::Both).unwrap_or_default();
            }
        }
    });
    addr
}

#[test]
fn the_client_resumes_once_by_itself() {
    let kept = tempfile::tempdir().unwrap();
    let (server, addr) = serve(kept.path());
    let bytes = content(20_000_000);
    let file = file_of(&bytes);
    let output = put(&file.path().join("file"), &cutting_once(addr, 5_000_000), &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("trying again"), "{}", said(&output));
    assert!(fs::read(kept.path().join("file")).unwrap() == bytes);
    server.stop();
}

#[test]
fn a_wrong_checksum_leaves_nothing_behind() {
    let kept = tempfile::tempdir().unwrap();
    let (server, addr) = serve(kept.path());
    let (announced, sent) = (content(500_000), content(500_001));
    let (mut stream, have) = begin(&addr, &announce("file", &announced, "new"));
    assert_eq!(have, "have 0\n");
    stream.write_all(&sent[1..]).unwrap();
    assert!(line(&stream).starts_with("error the checksum does not match"));
    assert_eq!(names(kept.path()), [""; 0]);
    server.stop();
}

/// Names that lead elsewhere, or that some system takes for something else.
const ESCAPES: &[&str] = &[
    "",
    ".",
    "..",
    "../secret",
    "/etc/passwd",
    "a/b",
    "..\\secret",
    "a\\b",
    ".hidden",
    "nul\0",
    "bell\x07",
    "CON",
    "con.txt",
    "LPT1",
    "trailing.",
    "trailing ",
    " leading",
    "a:b",
    "link",
    "directory",
    "tab\t",
    "gpj.\u{202e}exe",
    "zero\u{200b}width",
];

#[test]
fn no_name_leads_out_of_the_directory() {
    let outside = tempfile::tempdir().unwrap();
    let kept = outside.path().join("kept");
    fs::create_dir(&kept).unwrap();
    fs::write(outside.path().join("secret"), "untouched").unwrap();
    std::os::unix::fs::symlink(outside.path().join("secret"), kept.join("link")).unwrap();
    fs::create_dir(kept.join("directory")).unwrap();
    let (server, addr) = serve(&kept);
    let long = "a".repeat(181);
    for name in ESCAPES.iter().copied().chain([&long[..]]) {
        for mode in ["new", "replace"] {
            let (stream, answer) = begin(&addr, &announce(name, b"evil", mode));
            assert!(answer.starts_with("error "), "{name:?}: {answer}");
            assert_eq!(read_to_end(&mut { stream }), b"");
        }
    }
    for nonsense in ["\n", "put\n", "get x\n", "put a 1 2 new\n", "put a -1 00 new\n", "\u{fffd}\n"]
    {
        assert!(begin(&addr, nonsense.as_bytes()).1.starts_with("error "), "{nonsense:?}");
    }
    assert!(begin(&addr, &[b'a'; 10_000]).1.starts_with("error "), "an endless line");
    assert_eq!(fs::read(outside.path().join("secret")).unwrap(), b"untouched");
    assert_eq!(names(&kept), ["directory", "link"]);
    assert_eq!(names(outside.path()), ["kept", "secret"]);
    // A partial file that is a link leads nowhere either.
    let checksum = blake3::hash(b"evil").to_hex();
    let partial = format!(".file.{checksum}.part");
    std::os::unix::fs::symlink(outside.path().join("secret"), kept.join(partial)).unwrap();
    assert!(begin(&addr, &announce("file", b"evil", "new")).1.starts_with("error "));
    server.stop();
}

#[test]
fn what_is_there_is_replaced_only_when_asked() {
    let kept = tempfile::tempdir().unwrap();
    let (server, addr) = serve(kept.path());
    let (old, new) = (file_of(b"old"), file_of(b"new"));
    assert!(put(&old.path().join("file"), &addr, &[]).status.success());
    let output = put(&new.path().join("file"), &addr, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("exists already"), "{}", said(&output));
    assert_eq!(fs::read(kept.path().join("file")).unwrap(), b"old");
    assert!(put(&new.path().join("file"), &addr, &["--replace"]).status.success());
    assert_eq!(fs::read(kept.path().join("file")).unwrap(), b"new");
    server.stop();
}

#[test]
fn of_two_uploads_of_one_name_the_second_is_told() {
    let kept = tempfile::tempdir().unwrap();
    let (server, addr) = serve(kept.path());
    let bytes = content(1_000);
    let (mut first, have) = begin(&addr, &announce("file", &bytes, "new"));
    assert_eq!(have, "have 0\n");
    let (_, answer) = begin(&addr, &announce("file", b"other", "new"));
    assert_eq!(answer, "busy the file is being uploaded already\n");
    first.write_all(&bytes).unwrap();
    assert_eq!(line(&first), "done\n");
    assert_eq!(fs::read(kept.path().join("file")).unwrap(), bytes);
    server.stop();
}

#[test]
fn a_file_put_there_meanwhile_by_somebody_else_is_not_replaced() {
    let kept = tempfile::tempdir().unwrap();
    let (server, addr) = serve(kept.path());
    let (mut stream, _) = begin(&addr, &announce("file", b"ours", "new"));
    fs::write(kept.path().join("file"), "theirs").unwrap();
    stream.write_all(b"ours").unwrap();
    assert!(line(&stream).starts_with("error "));
    assert_eq!(fs::read(kept.path().join("file")).unwrap(), b"theirs");
    server.stop();
}

#[test]
fn a_server_that_was_killed_goes_on_where_it_was() {
    let kept = tempfile::tempdir().unwrap();
    let (mut server, addr) = serve(kept.path());
    let bytes = content(5_000_000);
    let (mut stream, _) = begin(&addr, &announce("file", &bytes, "new"));
    stream.write_all(&bytes[..2_000_000]).unwrap();
    server.child.kill().unwrap();
    server.wait();
    assert!(!kept.path().join("file").exists());
    let (server, addr) = serve(kept.path());
    let (mut stream, have) = begin(&addr, &announce("file", &bytes, "new"));
    let have: usize = have.trim().strip_prefix("have ").unwrap().parse().unwrap();
    assert!(have <= 2_000_000);
    stream.write_all(&bytes[have..]).unwrap();
    assert_eq!(line(&stream), "done\n");
    assert!(fs::read(kept.path().join("file")).unwrap() == bytes);
    server.stop();
}

#[test]
fn a_full_disk_is_told_and_nothing_has_the_name() {
    let disk = tempfile::tempdir().unwrap();
    let mount = "mount -t tmpfs -o size=2m none \"$1\"";
    let allowed = Command::new("unshare")
        .args(["-rm", "sh", "-c", mount, "sh"])
        .arg(disk.path())
        .output()
        .is_ok_and(|output| output.status.success());
    if !allowed {
        return println!("skipped: no tmpfs of our own may be mounted here");
    }
    // The server alone sees the small disk, and it is gone with it.
    let script = format!("{mount} && exec \"$0\" serve \"$1\" 127.0.0.1:0");
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", &script]).arg(program::path("files")).arg(disk.path());
    let mut server = Server::of(command.stderr(Stdio::null()));
    let addr = server.tcp_addr();
    let too_large = file_of(&content(8_000_000));
    let output = put(&too_large.path().join("file"), &addr, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("disk of the server is full"), "{}", said(&output));
    let seen = Path::new("/proc").join(server.pid().to_string()).join("root");
    let seen = seen.join(disk.path().strip_prefix("/").unwrap());
    assert!(!seen.join("file").exists());
    assert!(names(&seen).iter().all(|name| is_partial(name)), "{:?}", names(&seen));
    server.stop();
}

/// A server of which strace tampers with some system calls; `None`, and a message, where it cannot.
fn tampered(dir: &Path, inject: &[&str]) -> Option<(Server, String)> {
    if !has("strace") {
        return None;
    }
    // With -D the server is our child, and ends with the test.
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,link,linkat,renameat2"]);
    for what in inject {
        command.args(["-e", &format!("inject={what}")]);
    }
    command.arg(program::path("files")).arg("serve").arg(dir).arg("127.0.0.1:0");
    let mut server = Server::of(command.stderr(Stdio::null()));
    let said = server.line();
    let Some(addr) = said.strip_prefix("listening tcp ") else {
        println!("skipped: strace may not trace here");
        return None;
    };
    let addr = addr.to_string();
    Some((server, addr))
}

#[test]
fn a_slow_disk_holds_up_only_who_writes_to_it() {
    let kept = tempfile::tempdir().unwrap();
    let delay = "fsync:delay_enter=20000000";
    let Some((_server, addr)) = tampered(kept.path(), &[delay]) else { return };
    let (mut slow, _) = begin(&addr, &announce("slow", b"slow", "new"));
    slow.write_all(b"slow").unwrap();
    assert_eq!(line(&slow), "wait\n", "the worker is at it");
    for n in 0..5 {
        let (_, have) = begin(&addr, &announce(&format!("quick {n}"), b"quick", "new"));
        assert_eq!(have, "have 0\n");
    }
    assert_eq!(line(&slow), "wait\n", "it was not done before the others had their answers");
    assert!(!kept.path().join("slow").exists(), "it has its name before it is safe on the disk");
}

#[test]
fn a_slow_disk_is_no_failure() {
    let kept = tempfile::tempdir().unwrap();
    let Some((server, addr)) = tampered(kept.path(), &["fsync:delay_enter=3000000"]) else {
        return;
    };
    let (stream, have) = begin(&addr, &announce("slow", b"slow", "new"));
    assert_eq!(have, "have 0\n");
    (&stream).write_all(b"slow").unwrap();
    let heard: Vec<String> = BufReader::new(stream).lines().map(Result::unwrap).collect();
    assert_eq!(heard.last().map(String::as_str), Some("done"));
    assert!(heard.len() > 1 && heard.iter().rev().skip(1).all(|line| line == "wait"), "{heard:?}");
    server.stop();
}

#[test]
fn a_file_system_without_links_will_do() {
    let (no_link, no_rename) = ("link,linkat:error=EPERM", "renameat2:error=EINVAL");
    for inject in [&[no_link][..], &[no_link, no_rename]] {
        let kept = tempfile::tempdir().unwrap();
        let Some((server, addr)) = tampered(kept.path(), inject) else { return };
        let bytes = content(300_000);
        let output = put(&file_of(&bytes).path().join("file"), &addr, &[]);
        assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), ""), "{inject:?}");
        assert!(fs::read(kept.path().join("file")).unwrap() == bytes);
        // What somebody else has put there meanwhile stays.
        let (mut stream, _) = begin(&addr, &announce("other", b"ours", "new"));
        fs::write(kept.path().join("other"), "theirs").unwrap();
        stream.write_all(b"ours").unwrap();
        assert!(line(&stream).starts_with("error "), "{inject:?}");
        assert_eq!(fs::read(kept.path().join("other")).unwrap(), b"theirs");
        drop(stream);
        server.stop();
    }
}

/// A file of an earlier day.
fn old_file(path: &Path) {
    let file = fs::File::create(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(100_000)).unwrap();
}

/// Waits until the server has looked for what is forgotten, twice.
fn until_swept(dir: &Path) {
    for _ in 0..2 {
        let sign = dir.join(format!(".sign.{}.part", blake3::hash(b"sign").to_hex()));
        old_file(&sign);
        until("the old file is removed", || !sign.exists());
    }
}

#[test]
fn an_upload_that_is_under_way_is_never_swept() {
    let kept = tempfile::tempdir().unwrap();
    let (server, addr) = serve_with(kept.path(), &["--keep", "1"]);
    let bytes = content(1_000);
    let (mut stream, have) = begin(&addr, &announce("file", &bytes, "new"));
    assert_eq!(have, "have 0\n");
    stream.write_all(&bytes[..500]).unwrap();
    let partial = || names(kept.path()).into_iter().find(|name| is_partial(name));
    let path = kept.path().join(find("a partial file", partial));
    // Nothing was written to it for so long, as far as the file system knows.
    let file = fs::File::options().append(true).open(&path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(100_000)).unwrap();
    until_swept(kept.path());
    assert!(path.exists());
    stream.write_all(&bytes[500..]).unwrap();
    assert_eq!(line(&stream), "done\n");
    assert!(fs::read(kept.path().join("file")).unwrap() == bytes);
    server.stop();
}

#[test]
fn what_only_looks_like_an_upload_is_never_swept() {
    let kept = tempfile::tempdir().unwrap();
    let checksum = blake3::hash(b"x").to_hex().to_string();
    let strangers = [
        ".notes.part".to_string(),
        format!(".report.{}.part", &checksum[..16]),
        format!(".report.{}.part", &checksum[1..]),
        format!(".report.{}.part", checksum.to_uppercase()),
        format!("report.{checksum}.part"),
        format!(".report.{checksum}"),
        format!("{checksum}.part"),
        format!(".{checksum}.part"),
        ".part".to_string(),
    ];
    for name in &strangers {
        old_file(&kept.path().join(name));
    }
    // Neither a directory nor a link is ours, whatever it is called.
    let directory = format!(".directory.{checksum}.part");
    let link = format!(".link.{checksum}.part");
    fs::create_dir(kept.path().join(&directory)).unwrap();
    std::os::unix::fs::symlink("nowhere", kept.path().join(&link)).unwrap();
    let (server, _) = serve_with(kept.path(), &["--keep", "1"]);
    until_swept(kept.path());
    let mut expected = strangers.to_vec();
    expected.extend([directory, link]);
    expected.sort();
    assert_eq!(names(kept.path()), expected);
    server.stop();
}

#[test]
fn whoever_lost_the_done_is_told_again() {
    let kept = tempfile::tempdir().unwrap();
    let (server, addr) = serve(kept.path());
    let bytes = content(20_000_000);
    let announcement = announce("file", &bytes, "new");
    let (mut stream, _) = begin(&addr, &announcement);
    stream.write_all(&bytes).unwrap();
    assert_eq!(line(&stream), "done\n");
    for mode in ["new", "replace"] {
        let mut stream = tcp(&addr);
        stream.write_all(&announce("file", &bytes, mode)).unwrap();
        let answers = read_to_end(&mut stream);
        assert_eq!(String::from_utf8_lossy(&answers), "have 20000000\ndone\n", "{mode}");
    }
    // The checksum decides, and not the name or the size.
    let mut other = bytes.clone();
    other[10_000_000] ^= 1;
    let (_, answer) = begin(&addr, &announce("file", &other, "new"));
    assert_eq!(answer, "error the file exists already, with other content\n");
    let (mut stream, have) = begin(&addr, &announce("file", &other, "replace"));
    assert_eq!(have, "have 0\n");
    stream.write_all(&other).unwrap();
    assert_eq!(line(&stream), "done\n");
    assert!(fs::read(kept.path().join("file")).unwrap() == other);
    assert_eq!(names(kept.path()), ["file"]);
    server.stop();
}

/// Passes connections on to `to`, but of the first one no `done`: that is cut off.
fn without_first_done(to: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for (nth, client) in listener.incoming().enumerate() {
            let (client, server) = (client.unwrap(), TcpStream::connect(&to).unwrap());
            let (mut from, mut into) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut from, &mut into));
            for answer in BufReader::new(&server).lines() {
                let answer = answer.unwrap();
                if nth == 0 && answer == "done" {
                    break;
                }
                (&client).write_all(format!("{answer}\n").as_bytes()).unwrap();
            }
            for end in [&client, &server] {
                end.shutdown(std::net::Shutdown::Both).unwrap_or_default();
            }
        }
    });
    addr
}

#[test]
fn a_client_that_lost_the_done_ends_well() {
    let kept = tempfile::tempdir().unwrap();
    let (server, addr) = serve(kept.path());
    let bytes = content(3_000_000);
    let output = put(&file_of(&bytes).path().join("file"), &without_first_done(addr), &[]);
    assert!(said(&output).contains("trying again"), "{}", said(&output));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(fs::read(kept.path().join("file")).unwrap() == bytes);
    server.stop();
}

/// A server that does this with its one client, whose upload is `len` bytes long. What it gives back
/// stays open until the client has ended.
fn put_to<F>(len: usize, timeout: &str, serve: F) -> Output
where
    F: FnOnce(TcpStream) -> TcpStream + Send + 'static,
{
    put_to_listener(TcpListener::bind("127.0.0.1:0").unwrap(), len, timeout, serve)
}

fn put_to_listener<F>(listener: TcpListener, len: usize, timeout: &str, serve: F) -> Output
where
    F: FnOnce(TcpStream) -> TcpStream + Send + 'static,
{
    let addr = listener.local_addr().unwrap().to_string();
    let serving = thread::spawn(move || serve(listener.accept().unwrap().0));
    let file = file_of(&content(len));
    let output = put(&file.path().join("file"), &addr, &["--timeout", timeout]);
    serving.join().unwrap();
    output
}

/// Reads until the client has left.
fn until_left(mut stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut piece = [0; 1 << 16];
    while stream.read(&mut piece).is_ok_and(|n| n > 0) {}
    stream
}

#[test]
fn the_client_gives_up_on_a_silent_server() {
    let silent: [fn(TcpStream) -> TcpStream; 3] = [
        until_left,
        |stream| {
            // It takes all, and never says what became of it.
            (&stream).write_all(b"have 0\n").unwrap();
            until_left(stream)
        },
        |stream| {
            // It does not even read: the client cannot send the rest.
            (&stream).write_all(b"have 0\nwait\n").unwrap();
            stream
        },
    ];
    for serve in silent {
        let output = put_to(30_000_000, "1", serve);
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains("no reply from the server for 1 s"), "{}", said(&output));
    }
}

/// All that is sent is in the buffers of the system long before the server has read it, and then
/// nothing is heard of it for longer than the client waits for a silent one.
#[test]
fn a_server_that_reads_slowly_and_steadily_is_waited_for() {
    const LEN: usize = 3 << 19;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // As over Ethernet: over loopback a segment is much of what this server reads in a second.
    socket2::SockRef::from(&listener).set_tcp_mss(1_448).unwrap();
    let output = put_to_listener(listener, LEN, "2", |mut stream| {
        let mut announcement = BufReader::with_capacity(1, &stream);
        announcement.read_line(&mut String::new()).unwrap();
        stream.write_all(b"have 0\n").unwrap();
        for _ in 0..LEN >> 15 {
            stream.read_exact(&mut [0; 1 << 15]).unwrap();
            // Its pace is what is tested.
            pace(Duration::from_millis(130));
        }
        stream.write_all(b"done\n").unwrap();
        until_left(stream)
    });
    assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), ""));
}

#[test]
fn a_server_that_is_quicker_than_the_client_is_no_stranger() {
    for _ in 0..10 {
        let output = put_to(3, "30", |mut stream| {
            stream.write_all(b"have 0\ndone\n").unwrap();
            until_left(stream)
        });
        assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), ""));
    }
}

#[test]
fn a_server_that_asks_for_patience_is_waited_for() {
    let output = put_to(3, "5", |mut stream| {
        stream.write_all(b"have 0\n").unwrap();
        // Longer than the client would wait for a silent one.
        for _ in 0..30 {
            pace(Duration::from_millis(200));
            stream.write_all(b"wait\n").unwrap();
        }
        stream.write_all(b"done\n").unwrap();
        until_left(stream)
    });
    assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), ""));
}

#[test]
fn a_server_that_never_ends_its_line_is_left() {
    let output = put_to(3, "30", |mut stream| {
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        while stream.write_all(&[b'x'; 10_000]).is_ok() {}
        stream
    });
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("does not speak this protocol"), "{}", said(&output));
}

#[test]
fn what_a_server_says_reaches_the_terminal_as_one_plain_line() {
    let output = put_to(3, "30", |mut stream| {
        stream.write_all(b"error \x1b]0;owned\x07\x9b\n").unwrap();
        until_left(stream)
    });
    assert_eq!(output.status.code(), Some(1));
    let printed = output.stderr.strip_suffix(b"\n").unwrap();
    assert!(!String::from_utf8_lossy(printed).chars().any(char::is_control), "{printed:?}");
}

#[test]
fn a_name_need_not_be_text() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let kept = tempfile::tempdir().unwrap();
    let here = tempfile::tempdir().unwrap();
    let (server, addr) = serve(kept.path());
    let name = OsStr::from_bytes(b"caf\xe9 \xff.txt");
    fs::write(here.path().join(name), "bytes").unwrap();
    let output = put(&here.path().join(name), &addr, &[]);
    assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), ""));
    assert_eq!(fs::read(kept.path().join(name)).unwrap(), b"bytes");
    // Nor is what cannot be understood a reason to panic.
    let output = program::command("files").arg(name).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    server.stop();
}

#[test]
fn a_first_line_to_nobody_stops_no_server() {
    let kept = tempfile::tempdir().unwrap();
    let addr = command::free_addr().to_string();
    let mut command = program::command("files");
    command.arg("serve").arg(kept.path()).arg(&addr).stdin(Stdio::null()).stderr(Stdio::null());
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut child = command.stdout(full).spawn().unwrap();
    until("a server that starts", || {
        assert!(child.try_wait().unwrap().is_none());
        TcpStream::connect(&addr).is_ok()
    });
    assert!(put(&file_of(b"x").path().join("file"), &addr, &[]).status.success());
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A server whose directory is a file system of its own, and where that is seen from here.
fn serve_on_small_disk(options: &str) -> Option<(Server, String, TempDir, PathBuf)> {
    if !has("unshare") {
        return None;
    }
    const SCRIPT: &str =
        "mount -t tmpfs -o \"$2\" none \"$1\" || exit 77; exec \"$0\" serve \"$1\" 127.0.0.1:0";
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", SCRIPT]).arg(program::path("files"));
    let mut server = Server::of(command.arg(dir.path()).arg(options).stderr(Stdio::null()));
    let said = server.line();
    let Some(addr) = said.strip_prefix("listening tcp ") else {
        println!("skipped: no file system of its own can be had");
        return None;
    };
    let (addr, pid) = (addr.to_string(), server.child.id());
    let seen = Path::new("/proc").join(pid.to_string()).join("root");
    let seen = seen.join(dir.path().strip_prefix("/").unwrap());
    Some((server, addr, dir, seen))
}

#[test]
fn an_upload_that_fills_the_disk_leaves_room_for_others() {
    let Some((server, addr, _dir, seen)) = serve_on_small_disk("size=2m") else { return };
    let (large, small) = (file_of(&content(3_000_000)), file_of(b"small"));
    for _ in 0..2 {
        let output = put(&large.path().join("file"), &addr, &["--as", "large"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains("the disk of the server is full"), "{}", said(&output));
        assert_eq!(names(&seen), [""; 0]);
    }
    let output = put(&small.path().join("file"), &addr, &[]);
    assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), ""));
    // What another client has left makes room as well.
    leave(&addr, &seen, "left", &content(1_800_000));
    let file = file_of(&content(1_000_000));
    until_put(&file.path().join("file"), &addr, &["--as", "other"]);
    assert_eq!(names(&seen), ["file", "other"]);
    server.stop();
}

#[test]
fn uploads_that_were_left_do_not_use_up_all_files_of_a_disk() {
    let Some((server, addr, _dir, seen)) = serve_on_small_disk("size=9m,nr_inodes=12") else {
        return;
    };
    for nth in 0..20 {
        leave(&addr, &seen, &format!("left {nth}"), b"content");
    }
    until_put(&file_of(b"x").path().join("file"), &addr, &[]);
    assert!(names(&seen).contains(&"file".to_string()), "{:?}", names(&seen));
    server.stop();
}

/// Uploads all but a byte of `content` and leaves, once it lies there. While others who have left are
/// not noticed yet there may be no room.
fn leave(addr: &str, dir: &Path, name: &str, content: &[u8]) {
    let sent = &content[..content.len() - 1];
    let path = dir.join(format!(".{name}.{}.part", blake3::hash(content).to_hex()));
    let began = Instant::now();
    let is_there = || fs::metadata(&path).is_ok_and(|found| found.len() == sent.len() as u64);
    while !is_there() {
        let (mut stream, have) = begin(addr, &announce(name, content, "new"));
        if have == "have 0\n" {
            stream.write_all(sent).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            // Until it is refused, or has come.
            while !is_there()
                && matches!(stream.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
            {
                assert!(began.elapsed() < PATIENCE);
            }
        }
        assert!(began.elapsed() < PATIENCE, "{have}");
    }
}

#[test]
fn of_all_that_is_unfinished_the_newest_is_kept_within_a_bound() {
    let left = |dir: &Path, expected: &[&str]| {
        let is_left =
            |name: &str| names(dir).iter().any(|file| file.starts_with(&format!(".{name}.")));
        let expected = expected.iter().all(|name| is_left(name));
        assert!(expected, "{:?}", names(dir));
    };
    for (bound, options) in
        [("files", ["--unfinished", "2"]), ("bytes", ["--unfinished-bytes", "2500"])]
    {
        let kept = tempfile::tempdir().unwrap();
        let (server, addr) = serve_with(kept.path(), &options);
        for name in ["a", "b", "c", "d"] {
            leave(&addr, kept.path(), name, &content(1_000));
            assert!(names(kept.path()).len() <= 2, "{bound}: {:?}", names(kept.path()));
        }
        left(kept.path(), &["c", "d"]);
        // One that is under way stays, whatever comes.
        let bytes = content(1_000);
        let (mut stream, _) = resumed(&addr, &announce("c", &bytes, "new"));
        for name in ["e", "f"] {
            leave(&addr, kept.path(), name, &content(1_000));
            left(kept.path(), &["c", name]);
        }
        stream.write_all(&bytes[999..]).unwrap();
        assert_eq!(line(&stream), "done\n");
        server.stop();
        // Those of an earlier server count.
        let (server, _) =
            serve_with(kept.path(), &["--unfinished", "1", "--unfinished-bytes", "500"]);
        assert_eq!(names(kept.path()), ["c"]);
        server.stop();
    }
    let kept = tempfile::tempdir().unwrap();
    let (server, addr) = serve_with(kept.path(), &["--unfinished-bytes", "999"]);
    let (_, answer) = begin(&addr, &announce("file", &content(1_000), "new"));
    assert_eq!(answer, "error the file is larger than the limit of unfinished uploads\n");
    server.stop();
}

#[test]
fn a_forgotten_upload_is_removed_after_a_while() {
    let kept = tempfile::tempdir().unwrap();
    let (server, addr) = serve_with(kept.path(), &["--keep", "1"]);
    fs::write(kept.path().join(".keep"), "not ours").unwrap();
    break_off(&addr, kept.path(), &content(1_000), 500);
    until("what was broken off is removed", || names(kept.path()) == [".keep"]);
    server.stop();
}

#[test]
fn sigterm_lets_an_upload_that_is_under_way_end() {
    let kept = tempfile::tempdir().unwrap();
    let (mut server, addr) = serve(kept.path());
    let bytes = content(1_000_000);
    let (mut stream, _) = begin(&addr, &announce("file", &bytes, "new"));
    stream.write_all(&bytes[..500_000]).unwrap();
    server.signal("TERM");
    until("a stop that has begun", || TcpStream::connect(&addr).is_err());
    stream.write_all(&bytes[500_000..]).unwrap();
    assert_eq!(line(&stream), "done\n");
    drop(stream);
    assert_eq!(server.wait().code(), Some(0));
    assert!(fs::read(kept.path().join("file")).unwrap() == bytes);
}

#[test]
fn what_was_asked_wrongly_is_told() {
    let file = file_of(b"x");
    let file = file.path().join("file");
    let nobody = command::free_addr().to_string();
    let output = program::command("files").arg("nonsense").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("files --help"));
    let output = put(&file, &nobody, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains(&nobody), "{}", said(&output));
    let output = put(Path::new("/no/such/file"), &nobody, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("/no/such/file"), "{}", said(&output));
    assert_eq!(put(&file, &nobody, &["--as", "../x"]).status.code(), Some(2));
}
