//! What many are sent is one copy, arrives in its order, and counts in full.

use std::io;
use std::sync::Arc;

use socketserver::testing::TestServer;
use socketserver::{
    CloseReason, Context, Echo, Handler, Input, Options, SendStatus, SocketId, TraceEvent,
};

use crate::support::{Client, Harness, Kind, Random, on_input, pattern};

/// Sends everybody a head of its own and then the news, whenever somebody says something.
struct Member(Arc<[u8]>);

impl Handler<Vec<SocketId>> for Member {
    fn setup(&mut self, cx: &mut Context<'_, Vec<SocketId>>) -> io::Result<()> {
        cx.shared.push(cx.id);
        Ok(())
    }

    fn handle(
        &mut self,
        cx: &mut Context<'_, Vec<SocketId>>,
        input: &mut Input<'_>,
    ) -> io::Result<()> {
        input.take_all();
        for (nth, &member) in cx.shared.iter().enumerate() {
            cx.io.send(member, format!("to {nth}:").as_bytes());
            cx.io.send_shared(member, &self.0);
            cx.io.send(member, b".");
        }
        Ok(())
    }
}

kinds!(everybody_gets_the_news_with_its_own_head_in_one_write);

fn everybody_gets_the_news_with_its_own_head_in_one_write(kind: Kind) {
    let mut harness = Harness::with_shared(Vec::new(), Options::default());
    let steps = harness.steps();
    let news: Arc<[u8]> = pattern(20_000, 3).into();
    let copy = Arc::clone(&news);
    let addr = harness.serve(kind, move |_| Member(Arc::clone(&copy)));
    let mut clients = Client::connect_many(&addr, 10);
    harness.until(|server| server.shared_mut().len() == 10);
    clients[3].send(b"!");
    let expected: Vec<Vec<u8>> =
        (0..10).map(|n| [format!("to {n}:").as_bytes(), &news, b"."].concat()).collect();
    harness.until(|_| {
        clients.iter_mut().all(|client| {
            client.look();
            client.received.len() == expected[0].len()
        })
    });
    // Who is accepted in which order is the system's to say.
    let mut received: Vec<_> = clients.iter().map(|client| client.received.clone()).collect();
    received.sort();
    assert!(received == expected);
    let writes = steps.count(|step| matches!(step, TraceEvent::Wrote(..)));
    assert_eq!(writes, 10, "on {kind:?}");
    drop(clients);
    harness.until_ended(10);
}

#[test]
fn slow_members_keep_a_share_and_no_copy_and_the_rest_is_counted() {
    let options = Options { output_limit: 200_000, ..Options::default() };
    let mut server = TestServer::with_shared((), options).unwrap();
    let peers: Vec<_> = (0..20).map(|_| server.connect(Echo).unwrap()).collect();
    let news: Arc<[u8]> = vec![b'x'; 100_000].into();
    for (nth, peer) in peers.iter().enumerate() {
        peer.set_room(nth);
        assert_eq!(server.io_mut().send_shared(peer.id(), &news), SendStatus::Congested);
        assert_eq!(server.io().pending_output(peer.id()), 100_000 - nth);
    }
    server.run();
    assert_eq!(Arc::strong_count(&news), 21);
    server.io().verify_stats().unwrap();
    // A second one is at the limit of the first peer, who has taken nothing, and a third above it.
    assert_eq!(server.io_mut().send_shared(peers[0].id(), &news), SendStatus::Congested);
    assert_eq!(server.io_mut().send_shared(peers[0].id(), &news), SendStatus::Congested);
    server.run();
    assert_eq!(peers[0].finished().unwrap().reason, CloseReason::OutputLimit);
    assert!(peers[0].was_reset());
    server.io().verify_stats().unwrap();
    assert_eq!(server.io().stats().bytes_dropped, 300_000);
    for peer in &peers {
        peer.set_room(usize::MAX);
    }
    server.run();
    assert!(peers.iter().skip(1).all(|peer| peer.received() == *news));
    assert_eq!(Arc::strong_count(&news), 1);
    assert_eq!(server.io_mut().send_shared(peers[0].id(), &news), SendStatus::Closed);
    server.io().verify_stats().unwrap();
}

#[test]
fn what_is_sent_in_any_mixture_arrives_in_its_order() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut roll = move |below: usize| random.below(below);
    for _ in 0..30 {
        let mut server = TestServer::new().unwrap();
        let peer = server.connect(Echo).unwrap();
        peer.set_room(0);
        let (mut sent, mut received) = (Vec::new(), Vec::new());
        for nth in 0..40 {
            let sizes = [1, 100, 4_095, 4_096, 20_000, 70_000];
            let bytes = pattern(sizes[roll(6)], nth);
            match roll(5) {
                0 => drop(server.io_mut().send(peer.id(), &bytes)),
                1 | 2 => drop(server.io_mut().send_shared(peer.id(), &bytes.as_slice().into())),
                3 => peer.send(&bytes),
                _ => {
                    peer.set_room(roll(30_000));
                    server.run();
                    received.extend(peer.received());
                    continue;
                }
            }
            if server.io().is_congested(peer.id()) {
                // What it sends then is echoed later, so the order would not be known here.
                peer.set_room(usize::MAX);
            }
            sent.extend(bytes);
            server.run();
            received.extend(peer.received());
            server.io().verify_stats().unwrap();
        }
        peer.set_room(usize::MAX);
        server.run();
        received.extend(peer.received());
        assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
    }
}

kinds!(what_a_handler_sends_around_a_shared_answer_keeps_its_order);

fn what_a_handler_sends_around_a_shared_answer_keeps_its_order(kind: Kind) {
    let mut harness = Harness::new();
    let body: Arc<[u8]> = pattern(300_000, 9).into();
    let expected = [b"head ", &body[..], b" foot", &body[..]].concat();
    let addr = harness.serve(kind, move |_| {
        let body = Arc::clone(&body);
        on_input(move |cx: &mut Context<'_>, input: &mut Input<'_>| {
            input.take_all();
            cx.send(b"head ");
            cx.io.send_shared(cx.id, &body);
            cx.send(b" foot");
            cx.io.send_shared(cx.id, &body);
            Ok(())
        })
    });
    let mut client = Client::connect(&addr);
    client.send(b"?");
    harness.until(|_| {
        client.look();
        client.received.len() == expected.len()
    });
    assert!(client.received == expected);
    drop(client);
    harness.until_ended(1);
}
