//! The same for datagrams: each script is played on a simulated socket and on a real one, UDP over
//! loopback or Unix, that the production code registers, receives from and sends through.
//!
//! A UDP socket is bound to one address, to `0.0.0.0`, or to `[::]`, where strangers ask `127.0.0.1`,
//! `127.0.0.2` and, of the last, `::1`. What one says that has no room to send is not compared: over
//! loopback it always has.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use mio::Token;

use super::conformance::{PATIENCE, agree};
use super::datagram_kernel::LONGEST;
use super::datagram_socket::{LOCALS, MOST_UNREAD, Party};
use super::random::Random;
use super::script::{Answers, Service};
use crate::addr::Addr;
use crate::conn::packets::RecvBuffers;
use crate::conn::transport::RecvOutcome;

mod twice;

use twice::Twice;

#[derive(Clone, Copy, Debug)]
enum Act {
    /// A stranger sends some datagrams, of this length and a little more.
    Arrive(u32, u32, u32),
    /// More come than there is room for.
    Flood,
    /// A stranger is gone for good.
    Leave(u32),
    /// A stranger reads some datagrams.
    Read(u32, usize),
    // Our end.
    Receive(usize),
    /// So many to one stranger, or to the peer; and perhaps from where, by turns if that is too much.
    Send(Option<u32>, Option<usize>, usize, usize),
    Connect(u32),
    AskForRoom(bool),
    Poll,
}

enum Stranger {
    Udp(UdpSocket),
    Unix(UnixDatagram),
    Gone,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Net {
    Unix,
    /// Bound to one address.
    One,
    /// Bound to all IPv4 addresses.
    Anywhere,
    /// Bound to all of both kinds; one of the strangers has an IPv6 address.
    Dual,
}

/// Of [`LOCALS`] it means `::1` here, which IPv4 does not know.
const LOOPBACK_V6: usize = 2;
/// The one that has an IPv6 address in [`Net::Dual`].
const STRANGER_V6: u32 = 2;

const TOKEN: Token = Token(7);
const MAX: usize = 2_000;
/// So many cross in one system call at most: one where there is no call for more.
const AT_ONCE: usize = if cfg!(feature = "sys") { 64 } else { 1 };

/// Enough for what a script sends, and little enough to be flooded.
const RECEIVE_BUFFER: usize = 100_000;
const FLOOD: u32 = 400;

/// What came: its bytes, its sender, and to which address of ours.
type Came = Vec<(Vec<u8>, Option<usize>, Option<usize>)>;

fn number(who: Party) -> usize {
    let Party::Stranger(k) = who else { panic!("only strangers are written to") };
    k as usize
}

/// One of our addresses in the real world.
fn real_local(local: usize, port: u16) -> SocketAddr {
    match local {
        LOOPBACK_V6 => (Ipv6Addr::LOCALHOST, port).into(),
        local => (LOCALS[local], port).into(),
    }
}

/// How a socket calls an address.
fn as_seen(net: Net, addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V4(v4) if net == Net::Dual => (v4.ip().to_ipv6_mapped(), v4.port()).into(),
        addr => addr,
    }
}

fn came(inbox: &RecvBuffers, received: RecvOutcome, names: &[Addr], locals: &[SocketAddr]) -> Came {
    (0..received.count)
        .map(|nth| {
            let packet = inbox.packet(nth).expect("it came");
            let from = names.iter().position(|name| name == packet.peer);
            let mut what = packet.bytes.to_vec();
            what.push(u8::from(packet.truncated));
            let to = inbox.destination(nth).filter(|destination| destination.is_unicast);
            let to = to.map(|to| locals.iter().position(|local| *local == to.addr));
            (what, from, to.map(|to| to.expect("it is an address of ours")))
        })
        .collect()
}

fn draw(random: &mut Random, unix: bool) -> Vec<Act> {
    let wild = random.chance(50);
    let mut acts = vec![Act::Poll];
    for _ in 0..random.between(4, 24) {
        let k = random.pick(&[0, 0, 1, 2]);
        let few = random.pick(&[1, 1, 2, 3, 6, 20]);
        let len = random.pick(&[0, 1, 30, 1_000, MAX - 1]);
        acts.push(match random.below(100) {
            0..=24 => Act::Arrive(k, few.min(8) as u32, len as u32),
            25..=44 => Act::Receive(random.pick(&[1, 2, 3, 64])),
            45..=59 => {
                let from = random.pick(&[None, None, Some(0), Some(1), Some(2)]);
                Act::Send(Some(k).filter(|_| random.chance(70)), from, few, len)
            }
            60..=62 if !unix => Act::Send(Some(k), None, 2, LONGEST),
            60..=67 => Act::Read(k, few),
            68..=72 => Act::AskForRoom(random.chance(60)),
            73..=75 => Act::Connect(k),
            76 => Act::Flood,
            77..=79 if wild => Act::Leave(k),
            _ => Act::Poll,
        });
        if random.chance(30) {
            acts.push(Act::Poll);
        }
    }
    acts
}

#[test]
fn udp_behaves_as_it_is_simulated() {
    agree(|random| draw(random, false), || Twice::new(Net::One), Twice::act);
}

#[test]
fn udp_with_every_ipv4_address_behaves_as_it_is_simulated() {
    agree(|random| draw(random, false), || Twice::new(Net::Anywhere), Twice::act);
}

#[test]
fn udp_with_every_address_of_both_kinds_behaves_as_it_is_simulated() {
    agree(|random| draw(random, false), || Twice::new(Net::Dual), Twice::act);
}

#[test]
fn unix_datagrams_behave_as_they_are_simulated() {
    agree(|random| draw(random, true), || Twice::new(Net::Unix), Twice::act);
}

/// What our socket is bound to.
fn own(net: Net, folder: &Path) -> Addr {
    match net {
        Net::Unix => Addr::Unix(folder.join("own")),
        Net::One => Addr::Ip(([127, 0, 0, 1], 0).into()),
        Net::Anywhere => Addr::Ip(([0, 0, 0, 0], 0).into()),
        Net::Dual => Addr::Ip(([0_u16; 8], 0).into()),
    }
}

/// A real stranger, and its address as our socket sees it.
fn stranger(net: Net, n: u32, folder: &Path) -> io::Result<(Stranger, Addr)> {
    if net == Net::Unix {
        let path = folder.join(n.to_string());
        let stranger = UnixDatagram::bind(&path)?;
        stranger.set_nonblocking(true)?;
        return Ok((Stranger::Unix(stranger), Addr::Unix(path)));
    }
    let is_v6 = net == Net::Dual && n == STRANGER_V6;
    let stranger = UdpSocket::bind(if is_v6 { "[::1]:0" } else { "127.0.0.1:0" })?;
    stranger.set_read_timeout(Some(PATIENCE))?;
    let addr = Addr::Ip(as_seen(net, stranger.local_addr()?));
    Ok((Stranger::Udp(stranger), addr))
}

/// A simulated socket of which nothing but the script has anything done.
fn service(unix: bool, anywhere: bool) -> Service {
    Service {
        unix,
        anywhere,
        connected: false,
        capacity: if unix { MOST_UNREAD + 1 } else { usize::MAX },
        buffer: usize::MAX,
        answers: Answers::Nothing,
        lively: 0,
        fails: 0,
        closes_after: u64::MAX,
    }
}
