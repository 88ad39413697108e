//! Every byte comes back, in order, however the stream is cut and whoever ends it first.

use std::io;

use socketserver::{CloseReason, Context, Echo, Handler, Input, Options};

use crate::support::{Client, Harness, Kind, Random, on_input, on_setup, pattern};

/// Sends `bytes` in the pieces that `next_piece` says, and takes the echo as it comes.
fn exchange(
    harness: &mut Harness,
    client: &mut Client,
    bytes: &[u8],
    mut next_piece: impl FnMut() -> usize,
) {
    let mut sent = 0;
    let mut piece = 0;
    harness.until(|_| {
        if piece == 0 {
            piece = next_piece().min(bytes.len() - sent);
        }
        let n = client.push(&bytes[sent..sent + piece]);
        sent += n;
        piece -= n;
        client.look();
        client.received.len() == bytes.len()
    });
    assert!(client.received == bytes);
    client.received.clear();
}

kinds!(echo_is_exact_byte_by_byte);

fn echo_is_exact_byte_by_byte(kind: Kind) {
    let mut harness = Harness::new();
    let addr = harness.serve(kind, |_| Echo);
    let mut client = Client::connect(&addr);
    for byte in pattern(2_000, 1) {
        harness.echo(&mut client, &[byte]);
    }
}

kinds!(echo_is_exact_for_random_pieces);

fn echo_is_exact_for_random_pieces(kind: Kind) {
    let options = Options { read_buffer: 10_000, ..Options::default() };
    let mut harness = Harness::with_shared((), options);
    let addr = harness.serve(kind, |_| Echo);
    let mut client = Client::connect(&addr);
    let mut random = Random(7);
    let bytes = pattern(4 << 20, 2);
    exchange(&mut harness, &mut client, &bytes, || 1 + random.below(100_000));
}

kinds!(echo_is_exact_around_the_sizes_of_buffers);

fn echo_is_exact_around_the_sizes_of_buffers(kind: Kind) {
    let options = Options { read_buffer: 1_000, ..Options::default() };
    let mut harness = Harness::with_shared((), options);
    let addr = harness.serve(kind, |_| Echo);
    let mut client = Client::connect(&addr);
    for n in [1, 2, 999, 1_000, 1_001, 1_999, 2_000, 2_001, 4_000, 4_095, 4_096, 8_000, 9_001] {
        harness.echo(&mut client, &pattern(n, n as u64));
    }
}

kinds!(echo_is_exact_with_the_smallest_buffers_and_budgets);

fn echo_is_exact_with_the_smallest_buffers_and_budgets(kind: Kind) {
    let options = Options {
        read_buffer: 1,
        reads_per_turn: 1,
        writes_per_turn: 1,
        accepts_per_turn: 1,
        events_per_turn: 1,
        high_water: 1,
        low_water: 0,
        ..Options::default()
    };
    let mut harness = Harness::with_shared((), options);
    let addr = harness.serve(kind, |_| Echo);
    let mut clients = Client::connect_many(&addr, 3);
    for client in &mut clients {
        client.send(&pattern(500, 3));
    }
    for client in &mut clients {
        assert_eq!(harness.receive(client, 500), pattern(500, 3));
    }
}

kinds!(many_clients_at_once_each_get_their_own_bytes);

fn many_clients_at_once_each_get_their_own_bytes(kind: Kind) {
    let mut harness = Harness::new();
    let addr = harness.serve(kind, |_| Echo);
    let mut clients = Client::connect_many(&addr, 60);
    let sent: Vec<Vec<u8>> = (0..60).map(|n| pattern(100_000, n)).collect();
    let mut done = vec![0; 60];
    let mut random = Random(5);
    harness.until(|_| {
        for (n, client) in clients.iter_mut().enumerate() {
            let piece = sent[n].len().min(done[n] + 1 + random.below(9_000));
            done[n] += client.push(&sent[n][done[n]..piece]);
            client.look();
        }
        clients.iter().all(|client| client.received.len() == 100_000)
    });
    for (client, sent) in clients.iter().zip(&sent) {
        assert!(client.received == *sent);
    }
}

kinds!(a_client_that_ends_first_gets_everything_it_is_owed_and_then_the_end);

fn a_client_that_ends_first_gets_everything_it_is_owed_and_then_the_end(kind: Kind) {
    let mut harness = Harness::new();
    let addr = harness.serve(kind, |_| Echo);
    let mut client = Client::connect(&addr);
    let bytes = pattern(3 << 20, 4);
    let mut sent = 0;
    harness.until(|_| {
        sent += client.push(&bytes[sent..]);
        if sent < bytes.len() {
            client.look();
        }
        sent == bytes.len()
    });
    client.finish_sending();
    assert!(harness.receive_to_end(&mut client) == bytes, "{kind:?}");
    harness.until_ended(1);
    assert_eq!(harness.ended(CloseReason::Closed), 1);
}

kinds!(data_and_end_in_one_event_are_both_seen);

fn data_and_end_in_one_event_are_both_seen(kind: Kind) {
    let mut harness = Harness::new();
    let addr = harness.serve(kind, |_| Echo);
    for n in [0, 1, 100, 100_000] {
        let mut client = Client::connect(&addr);
        client.send(&pattern(n, 5));
        client.finish_sending();
        assert!(harness.receive_to_end(&mut client) == pattern(n, 5), "{n} bytes on {kind:?}");
    }
    harness.until_ended(4);
    assert_eq!(harness.ended(CloseReason::Closed), 4);
}

kinds!(an_end_that_exactly_fills_the_buffer_is_seen);

fn an_end_that_exactly_fills_the_buffer_is_seen(kind: Kind) {
    let options = Options { read_buffer: 64, reads_per_turn: 1, ..Options::default() };
    let mut harness = Harness::with_shared((), options);
    let addr = harness.serve(kind, |_| Echo);
    for n in [63, 64, 65, 128] {
        let mut client = Client::connect(&addr);
        client.send(&pattern(n, 6));
        client.finish_sending();
        assert_eq!(harness.receive_to_end(&mut client), pattern(n, 6));
    }
    harness.until_ended(4);
}

/// Ends its own direction at once, and counts what still comes.
struct EndsFirst {
    answer: usize,
    got: usize,
}

impl Handler<Vec<usize>> for EndsFirst {
    fn setup(&mut self, cx: &mut Context<'_, Vec<usize>>) -> io::Result<()> {
        cx.send(&pattern(self.answer, 7));
        cx.io.shutdown_write(cx.id);
        Ok(())
    }

    fn handle(&mut self, _: &mut Context<'_, Vec<usize>>, input: &mut Input<'_>) -> io::Result<()> {
        self.got += input.take_all().len();
        Ok(())
    }

    fn finish(&mut self, cx: &mut Context<'_, Vec<usize>>, outcome: io::Result<()>) {
        outcome.unwrap();
        cx.shared.push(self.got);
    }
}

kinds!(a_server_that_ends_its_direction_first_goes_on_reading);

fn a_server_that_ends_its_direction_first_goes_on_reading(kind: Kind) {
    for answer in [0, 5, 2 << 20] {
        let mut harness = Harness::with_shared(Vec::new(), Options::default());
        let addr = harness.serve(kind, move |_| EndsFirst { answer, got: 0 });
        let mut client = Client::connect(&addr);
        assert!(harness.receive_to_end(&mut client) == pattern(answer, 7));
        let bytes = pattern(1 << 20, 8);
        let mut sent = 0;
        harness.until(|_| {
            sent += client.push(&bytes[sent..]);
            sent == bytes.len()
        });
        client.finish_sending();
        harness.until_ended(1);
        assert_eq!(*harness.shared(), [bytes.len()], "{answer} on {kind:?}");
    }
}

kinds!(both_sides_may_end_their_direction_at_once);

fn both_sides_may_end_their_direction_at_once(kind: Kind) {
    let mut harness = Harness::with_shared(Vec::new(), Options::default());
    let addr = harness.serve(kind, move |_| EndsFirst { answer: 100_000, got: 0 });
    let mut client = Client::connect(&addr);
    client.send(&pattern(1_000, 9));
    client.finish_sending();
    assert!(harness.receive_to_end(&mut client) == pattern(100_000, 7));
    harness.until_ended(1);
    assert_eq!(*harness.shared(), [1_000]);
    assert_eq!(harness.ended(CloseReason::Closed), 1);
}

/// Answers only when the client has ended, in its own time.
struct AnswersAfterTheEnd;

impl Handler for AnswersAfterTheEnd {
    fn handle(&mut self, _: &mut Context<'_>, _: &mut Input<'_>) -> io::Result<()> {
        Ok(())
    }

    fn eof(&mut self, cx: &mut Context<'_>, rest: &[u8]) -> io::Result<()> {
        let answer = format!("{} bytes", rest.len());
        cx.send(answer.as_bytes());
        cx.set_timer(std::time::Duration::from_millis(5));
        Ok(())
    }

    fn timeout(&mut self, cx: &mut Context<'_>, _: socketserver::TimerId) -> io::Result<()> {
        cx.send(b", late");
        cx.io.shutdown_write(cx.id);
        Ok(())
    }
}

kinds!(a_handler_may_go_on_sending_after_the_client_has_ended);

fn a_handler_may_go_on_sending_after_the_client_has_ended(kind: Kind) {
    let mut harness = Harness::new();
    let addr = harness.serve(kind, |_| AnswersAfterTheEnd);
    let mut client = Client::connect(&addr);
    client.send(b"12345");
    client.finish_sending();
    assert_eq!(harness.receive_to_end(&mut client), b"5 bytes, late");
    harness.until_ended(1);
    assert_eq!(harness.ended(CloseReason::Closed), 1, "both directions have ended");
}

kinds!(an_end_while_the_output_is_blocked_cuts_nothing_off);

fn an_end_while_the_output_is_blocked_cuts_nothing_off(kind: Kind) {
    let mut harness = Harness::new();
    let addr = harness.serve(kind, |_| {
        on_input(|cx: &mut Context<'_>, input| {
            if input.take_all().ends_with(b"!") {
                cx.send(&pattern(8 << 20, 10));
            }
            Ok(())
        })
    });
    let steps = harness.steps();
    let mut client = Client::connect(&addr);
    client.send(b"give!");
    harness.until_quiet(&steps);
    assert!(harness.io().stats().pending_output() > 0, "the output is not blocked");
    client.finish_sending();
    harness.until_quiet(&steps);
    assert!(harness.receive_to_end(&mut client) == pattern(8 << 20, 10));
    harness.until_ended(1);
    assert_eq!(harness.ended(CloseReason::Closed), 1);
}

kinds!(a_close_with_much_to_send_sends_it_all);

fn a_close_with_much_to_send_sends_it_all(kind: Kind) {
    let mut harness = Harness::new();
    let addr = harness.serve(kind, |_| {
        on_setup(|cx: &mut Context<'_>| {
            for seed in 0..100 {
                cx.send(&pattern(1 + 900 * seed as usize, seed));
            }
            cx.close();
            assert_eq!(cx.send(b"too late"), socketserver::SendStatus::Closed);
            Ok(())
        })
    });
    let mut client = Client::connect(&addr);
    let expected: Vec<u8> =
        (0..100).flat_map(|seed| pattern(1 + 900 * seed as usize, seed)).collect();
    assert!(harness.receive_to_end(&mut client) == expected);
}

kinds!(sends_of_many_sizes_in_one_turn_leave_in_order);

fn sends_of_many_sizes_in_one_turn_leave_in_order(kind: Kind) {
    let mut harness = Harness::with_shared(
        (),
        Options { high_water: 8 << 20, output_limit: 32 << 20, ..Options::default() },
    );
    let addr = harness.serve(kind, |_| {
        on_input(|cx: &mut Context<'_>, input| {
            let mut random = Random(11);
            let mut left = input.take_all().len() * 20_000;
            let bytes = pattern(left, 12);
            while left > 0 {
                // Small ones are collected, large ones may go straight to the system.
                let most = if random.below(4) == 0 { 30_000 } else { 300 };
                let n = left.min(1 + random.below(most));
                let from = bytes.len() - left;
                cx.send(&bytes[from..from + n]);
                left -= n;
            }
            Ok(())
        })
    });
    let mut client = Client::connect(&addr);
    client.send(&[0; 100]);
    assert!(harness.receive(&mut client, 2_000_000) == pattern(2_000_000, 12));
}
