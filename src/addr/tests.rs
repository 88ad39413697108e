//! What each text form of an address means.

use super::*;

#[test]
fn what_is_written_is_what_is_meant() {
    let one = |addr: &dyn Fn() -> io::Result<Vec<Addr>>| addr().unwrap()[0].to_string();
    assert_eq!(one(&|| "127.0.0.1:7000".to_addrs()), "127.0.0.1:7000");
    assert_eq!(one(&|| "[::1]:9".to_addrs()), "[::1]:9");
    assert_eq!(one(&|| "unix:/run/echo".to_addrs()), "/run/echo");
    assert_eq!(one(&|| ("127.0.0.1", 9).to_addrs()), "127.0.0.1:9");
    assert_eq!(one(&|| Path::new("a b").to_addrs()), "a b");
    assert_eq!(one(&|| "unix:./@echo".to_addrs()), "./@echo");
    assert_eq!(one(&|| OsStr::new("127.0.0.1:7000").to_addrs()), "127.0.0.1:7000");
}

#[test]
#[cfg(target_os = "linux")]
fn an_at_sign_begins_an_abstract_name_and_no_path() {
    let name = Addr::Abstract(b"echo".to_vec());
    assert_eq!("unix:@echo".to_addrs().unwrap().first(), Some(&name));
    assert_eq!(OsStr::new("unix:@echo").to_addrs().unwrap().first(), Some(&name));
    assert_eq!((name.to_string(), name.to_os_string()), ("@echo".into(), "@echo".into()));
    // A path is what it says: a file, whatever its name.
    let file = Path::new("@echo").to_addrs().unwrap().remove(0);
    assert_eq!(file, Addr::Unix("@echo".into()));
    assert_eq!((file.to_string(), file.to_os_string()), ("./@echo".into(), "./@echo".into()));
    assert_eq!(Addr::Abstract(b"a\0b".to_vec()).to_string(), "@a@b");
}

#[test]
#[cfg(unix)]
fn bytes_that_are_no_text_are_kept() {
    use std::os::unix::ffi::OsStrExt;

    let path = OsStr::from_bytes(b"/tmp/\xFF\xFE");
    let typed = OsStr::from_bytes(b"unix:/tmp/\xFF\xFE");
    let addr = typed.to_addrs().unwrap().remove(0);
    assert_eq!((&addr, addr.to_os_string()), (&Addr::Unix(path.into()), path.into()));
    let name = Addr::unix(OsStr::from_bytes(b"@\xFF"));
    assert_eq!(name.to_os_string(), OsStr::from_bytes(b"@\xFF"));
    let error = OsStr::from_bytes(b"\xFF:7000").to_addrs().unwrap_err();
    assert!(error.to_string().contains("\\xFF:7000"), "{error}");
}

#[test]
fn localhost_is_this_machine_and_nothing_is_looked_up() {
    for host in ["localhost", "LocalHost", "localhost.", "db.localhost"] {
        let text = format!("{host}:9");
        assert_eq!(text.name_to_look_up(), None);
        let addrs = text.to_addrs().unwrap();
        let texts: Vec<String> = addrs.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["[::1]:9", "127.0.0.1:9"], "{host}");
        assert_eq!((host, 9).to_addrs().unwrap(), addrs);
    }
    for name in ["localhost.example:9", "mylocalhost:9", ".localhost:9", "db:9"] {
        assert_eq!(name.name_to_look_up().as_deref(), Some(name));
    }
    assert_eq!(("db", 9).name_to_look_up().as_deref(), Some("db:9"));
    for number in ["127.0.0.1:9", "[::1]:9", "unix:/run/echo", "nonsense"] {
        assert_eq!(number.name_to_look_up(), None);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn an_interface_is_told_by_its_name_or_its_number() {
    let index = std::fs::read_to_string("/sys/class/net/lo/ifindex").unwrap();
    let index: u32 = index.trim().parse().unwrap();
    let expected = std::net::SocketAddrV6::new("fe80::1".parse().unwrap(), 9, 0, index);
    let expected = vec![Addr::Ip(expected.into())];
    assert_eq!("[fe80::1%lo]:9".to_addrs().unwrap(), expected);
    assert_eq!(("fe80::1%lo", 9).to_addrs().unwrap(), expected);
    assert_eq!(format!("[fe80::1%{index}]:9").to_addrs().unwrap(), expected);
    assert_eq!(expected[0].to_string().to_addrs().unwrap(), expected);
    for bad in ["[fe80::1%no-such-if]:9", "[fe80::1%]:9", "[fe80::1%../lo]:9"] {
        let error = bad.to_addrs().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{bad}: {error}");
    }
}

#[test]
fn what_is_no_address_is_named() {
    for bad in ["", "nonsense", "127.0.0.1", "127.0.0.1:99999", "unix:"] {
        let error = bad.to_addrs().unwrap_err();
        assert!(error.to_string().contains(bad.trim_start_matches("unix:")), "{bad}: {error}");
    }
}
