//! Seeds of `addresses`, `arguments`, `quantities` and `file_names`.

use super::{Seed, each, plain};

pub(crate) fn addresses() -> Vec<Seed> {
    // A text that was typed, or bytes of an address that is printed: its port, its family, and it.
    const TYPED: &[u8] = &[1];
    let long = "a".repeat(108);
    let mut seeds = each([
        ("ipv4", TYPED, "127.0.0.1:7000"),
        ("ipv6", TYPED, "[::1]:0"),
        ("ipv6-with-scope", TYPED, "[fe80::1%2]:7000"),
        ("ipv6-with-interface", TYPED, "[fe80::1%eth0]:7000"),
        ("ipv6-without-brackets", TYPED, "::1:7000"),
        ("name-and-port", TYPED, "localhost:80"),
        ("no-host", TYPED, ":80"),
        ("no-port", TYPED, "localhost"),
        ("port-with-sign", TYPED, "127.0.0.1:+80"),
        ("port-of-17-bits", TYPED, "127.0.0.1:65536"),
        ("unix-path", TYPED, "unix:/tmp/x"),
        ("unix-abstract", TYPED, "unix:@x"),
        ("unix-without-path", TYPED, "unix:"),
        ("unix-path-too-long", TYPED, &format!("unix:{long}")),
    ]);
    seeds.extend(plain([
        ("printed-ipv4", b"\0\x1b\x58\x01\x7f\0\0\x01"),
        ("printed-ipv6-with-scope", b"\0\x1b\x58\0\xfe\x80\0\0\x7f\0\0\x01\x02"),
    ]));
    seeds
}

pub(crate) fn arguments() -> Vec<Seed> {
    each([
        (
            "serve-with-options",
            &[],
            "serve\necho\n--tcp\n[fe80::1%2]:7000\n--idle-timeout\n1000000000years\n--high-water\n18446744073709551614",
        ),
        (
            "serve-everything-once",
            &[],
            "serve\nchat\n--tcp\n127.0.0.1:0\n--unix\n/tmp/x\n--max-connections\n9\n--max-line\n1MiB\n--grace\n2s\n--loops\n2\n--balance\nfewest",
        ),
        ("serve-datagrams", &[], "serve\nupper\n--udp\n[::1]:0\n--unixgram\n@x"),
        ("serve-in-processes", &[], "serve\nupper\n--tcp\n:0\n--workers\nprocesses:2\n--counters"),
        ("serve-line-above-every-limit", &[], "serve\necho\n--max-line\n15EiB"),
        ("connect-and-wait", &[], "connect\nunix:/tmp/x\n--wait\n2s"),
        ("connect-with-timeout-zero", &[], "connect\n127.0.0.1:7000\n--timeout\n0s"),
        ("bench-at-a-rate", &[], "bench\n--rate\n1e7\n--size\n64KiB\n--transport\nudp"),
        (
            "bench-of-churn-in-clients",
            &[],
            "bench\n--churn\n--connections\n4\n--clients\n2\n--duration\n500ms\n--json\nx",
        ),
        ("bench-compare", &[], "bench\n--compare\na\nb"),
        ("help-of-serve", &[], "serve\n--help"),
        ("version", &[], "--version"),
        ("no-such-option", &[], "serve\necho\n--tpc\n127.0.0.1:0"),
        ("no-words", &[], ""),
    ])
}

pub(crate) fn quantities() -> Vec<Seed> {
    const TEXT: &[u8] = &[2];
    let mut seeds = each([
        ("size", TEXT, "64KiB"),
        ("size-with-fraction-and-gap", TEXT, "1.5 MiB"),
        ("size-of-65-bits", TEXT, "16EiB"),
        ("size-negative", TEXT, "-1"),
        ("size-in-bits", TEXT, "8 Kib"),
        ("size-in-exponent", TEXT, "1e3"),
        ("size-without-number", TEXT, "KiB"),
        ("duration", TEXT, "2h 30m"),
        ("duration-in-every-unit", TEXT, "1y 2months 3weeks 4days 5hr 6min 7sec 8ms 9us 1ns"),
        ("duration-of-nothing", TEXT, "0s"),
        ("duration-of-65-bits", TEXT, "1000000000000years"),
        ("duration-with-letters-of-unicode", TEXT, "1µs"),
    ]);
    // A size: its unit, the gap, the number and how far that is shifted. A duration: seconds, shift, nanoseconds.
    seeds.extend(plain([
        ("printed-size-in-tebibytes", b"\0\x0a\x01\0\0\0\0\0\0\0\x05\0"),
        ("printed-size-that-does-not-fit", b"\0\x0b\0\xff\0\0\0\0\0\0\0\0"),
        ("printed-duration", b"\x01\0\0\0\0\0\x01\x51\x81\0\0\0\x03\xe8"),
        ("printed-duration-of-nanoseconds", b"\x01\0\0\0\0\0\0\0\0\0\0\0\0\x07"),
    ]));
    seeds
}

pub(crate) fn file_names() -> Vec<Seed> {
    let digits = "0af1".repeat(16);
    let put = |name: &str, size: &str, checksum: &str, how: &str| {
        format!("put {name} {size} {checksum} {how}").into_bytes()
    };
    let mut seeds = vec![
        ("put-new", put("a b.txt", "12", &digits, "new")),
        ("put-replace", put("a", "18446744073709551615", &digits, "replace")),
        ("put-of-a-hidden-file", put(".a", "12", &digits, "new")),
        ("put-of-size-negative", put("a", "-1", &digits, "new")),
        ("put-of-checksum-in-capitals", put("a", "1", &digits.to_uppercase(), "new")),
        ("longest-name", vec![b'a'; 180]),
        ("name-too-long", vec![b'a'; 181]),
    ];
    seeds.extend(plain([
        ("name-that-is-not-utf-8", b"a\xff"),
        ("parent", b".."),
        ("path", b"a/b"),
        ("path-of-windows", b"a\\b"),
        ("device", b"Con .txt"),
        ("serial-port", b"com1"),
        ("space-at-the-end", b"a "),
        ("text-direction", "a\u{202e}b".as_bytes()),
        ("newline", b"a\nb"),
    ]));
    seeds
}
