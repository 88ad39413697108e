//! `serve --udp` on a wildcard: every client is answered from the address that it asked, in every
//! mode; and over a link of a network of our own, with addresses that loopback does not have.

use std::io::Write;
use std::net::UdpSocket;
use std::process::{Command, Stdio};

use crate::command::{BIN, Server, bin, has};
use crate::waits::PATIENCE;

/// Asks with a socket that takes answers from there only.
fn ask(addr: &str, packet: &[u8]) -> Vec<u8> {
    let own = if addr.starts_with('[') { "[::1]:0" } else { "127.0.0.1:0" };
    let client = UdpSocket::bind(own).unwrap();
    client.connect(addr).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send(packet).unwrap();
    let mut answer = [0; 600];
    let n = client.recv(&mut answer).unwrap();
    answer[..n].to_vec()
}

/// The ports of a server that listens on both wildcards.
fn start(service: &str, options: &[&str]) -> (Server, String, String) {
    let words = [&[service, "--udp", "0.0.0.0:0", "--udp", "[::]:0"], options].concat();
    let mut server = Server::start(&words);
    let four = server.line().strip_prefix("listening udp 0.0.0.0:").unwrap().to_string();
    let dual = server.line().strip_prefix("listening udp [::]:").unwrap().to_string();
    (server, four, dual)
}

#[test]
fn every_mode_answers_from_the_address_that_was_asked() {
    let modes: [&[&str]; 4] =
        [&[], &["--loops", "2"], &["--workers", "threads:2"], &["--workers", "processes:2"]];
    for mode in modes {
        let (server, four, dual) = start("echo", mode);
        for (ip, port) in [
            ("127.0.0.1", &four),
            ("127.0.0.2", &four),
            ("127.0.0.2", &dual),
            ("127.0.0.1", &dual),
            ("[::1]", &dual),
        ] {
            for packet in [&b"hello"[..], b""] {
                let addr = format!("{ip}:{port}");
                assert_eq!(ask(&addr, packet), packet, "{addr} with {mode:?}");
            }
        }
        server.stop();
    }
}

#[test]
fn every_service_answers_from_the_address_that_was_asked() {
    for service in ["upper", "chargen", "daytime", "time"] {
        let (server, four, dual) = start(service, &[]);
        for addr in [format!("127.0.0.2:{four}"), format!("127.0.0.2:{dual}")] {
            assert!(!ask(&addr, b"hello").is_empty(), "{service} at {addr}");
        }
        server.stop();
    }
}

#[test]
fn the_client_of_the_command_is_answered() {
    let (server, four, _) = start("echo", &[]);
    let mut client = bin()
        .args(["connect", "--udp", &format!("127.0.0.2:{four}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    client.stdin.take().unwrap().write_all(b"hello\n").unwrap();
    let output = client.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello\n");
    assert!(output.status.success());
    server.stop();
}

/// A server at one end of a link, and clients at the other; both ends are in namespaces that are
/// gone with the last process in them. Every wait has an end.
const NETWORK: &str = r#"
set -eu
bin=$1 dir=$2 loops=$3
patiently() { n=0; until "$@"; do n=$((n + 1)); [ $n -lt 1500 ]; sleep 0.02; done; }
mkfifo "$dir/go"
unshare -n sh -c 'read -r _; exec "$0" serve echo --udp 0.0.0.0:7000 --udp "[::]:7001" "$@"' \
    "$bin" --loops "$loops" <"$dir/go" >"$dir/out" &
server=$!
trap 'kill $server 2>/dev/null || true' EXIT
exec 3>"$dir/go"
alone() { [ "$(readlink /proc/$server/ns/net)" != "$(readlink /proc/self/ns/net)" ]; }
patiently alone
there() { nsenter -t $server -n "$@"; }
ip link set lo up
there ip link set lo up
ip link add here type veth peer name there netns $server
for n in 1 2 3 4 5 6; do
    there ip addr add 10.7.7.$n/24 dev there
    there ip addr add fd00:7::7:$n/64 dev there nodad
    there ip addr add fe80::7:$n/64 dev there nodad
done
ip addr add 10.7.7.9/24 dev here
ip addr add fd00:7::9/64 dev here nodad
ip addr add fe80::7:9/64 dev here nodad
ip link set here up
there ip link set there up
carrier() { ip link show here | grep -q LOWER_UP; }
patiently carrier
echo go >&3
listening() { [ "$(wc -l <"$dir/out")" = 2 ]; }
patiently listening
index=$(ip -o link show here | cut -d: -f1)
sent() { awk '$1 == "Udp6OutDatagrams" { print $2 }' /proc/$server/net/snmp6; }
before=$(sent)
python3 - "$index" <<'END'
import socket, sys
# Each address answers; and a stranger says that some of them are its own.
IPV6_FREEBIND = 78
index = int(sys.argv[1])
def client(kind, own, to):
    one = socket.socket(kind, socket.SOCK_DGRAM)
    one.settimeout(1)
    one.bind(own)
    # From now on it takes answers from there only.
    one.connect(to)
    return one
def ask(one):
    # The first may be lost, while the link comes up.
    for tries in range(60):
        one.send(b'hello')
        try:
            answer = one.recv(100)
        except TimeoutError:
            continue
        assert answer == b'hello', answer
        return
    raise TimeoutError(one)
for port in [7000, 7001]:
    for n in range(1, 7):
        ask(client(socket.AF_INET, ('', 0), ('10.7.7.%d' % n, port)))
for n in range(1, 7):
    for to in [('fd00:7::7:%d' % n, 7001), ('fe80::7:%d' % n, 7001, 0, index)]:
        ask(client(socket.AF_INET6, ('::', 0), to))
pairs = [('fe80::7:1', 'fd00:7::7:1')]
pairs += [(net + '7:%d' % n, net + '7:%d' % (n + 1)) for net in ['fd00:7::', 'fe80::'] for n in range(1, 6)]
assert len(pairs) == 11
for (own, to) in pairs * 3:
    forged = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    forged.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
    scope = index if own.startswith('fe80') else 0
    forged.bind((own, 7001, 0, scope))
    forged.sendto(b'round and round', (to, 7001, 0, index if to.startswith('fe80') else 0))
# One with the port of the server is no reason to be refused.
honest = client(socket.AF_INET6, ('fd00:7::9', 7001), ('fd00:7::7:2', 7001))
for n in range(200):
    ask(honest)
END
addr="[fe80::7:2%$index]:7001"
answer=$(echo hello | timeout 60 "$bin" connect --udp "$addr")
[ "$answer" = hello ] || { echo "$addr: $answer"; exit 1; }
echo "left over IPv6: $(($(sent) - before))"
"#;

#[test]
fn over_a_link_every_address_answers_and_a_forged_one_starts_no_loop() {
    for loops in ["1", "3"] {
        over_a_link(loops);
    }
}

fn over_a_link(loops: &str) {
    if !["unshare", "nsenter", "ip", "python3"].into_iter().all(has) {
        return;
    }
    let allowed = Command::new("unshare")
        .args(["-rn", "ip", "link", "add", "here", "type", "veth"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !allowed {
        return println!("skipped: no network of our own may be made here");
    }
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new("unshare")
        .args(["-rn", "sh", "-c", NETWORK, "sh", BIN])
        .arg(dir.path())
        .arg(loops)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let left = said.rsplit("left over IPv6: ").next().unwrap().trim();
    // 213 honest ones, and the 33 that are forged once at most: an answer to itself never. Some may
    // have been lost and asked again.
    assert!(left.parse::<i32>().unwrap() <= 300, "{said}");
}
