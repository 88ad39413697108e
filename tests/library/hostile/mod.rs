//! Handlers and everything else of a user that panic at any touch: one connection, one datagram or one call
//! is lost, and nothing else.

mod blocking;
mod datagrams;
mod loops;
mod outgoing;
mod streams;
mod touches;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use socketserver::{Addr, Echo};

use crate::support::{Client, Harness, Kind, PATIENCE};

/// How many connections these servers may have.
const PLACES: usize = 6;

/// A conversation of a client in a thread: it sends, ends, and reads to the end or a reset.
fn converse(addr: &Addr, text: &'static [u8]) -> thread::JoinHandle<Vec<u8>> {
    let addr = *addr.ip().unwrap();
    thread::spawn(move || {
        let mut received = Vec::new();
        let talked = TcpStream::connect(addr).and_then(|mut stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(text)?;
            stream.shutdown(Shutdown::Write)?;
            stream.read_to_end(&mut received)
        });
        if let Err(error) = talked {
            let ended =
                [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe, ErrorKind::NotConnected];
            assert!(ended.contains(&error.kind()), "a client is left alone: {error}");
        }
        received
    })
}

impl<S> Harness<S> {
    fn converse(&mut self, addr: &Addr, text: &'static [u8]) -> Vec<u8> {
        let client = converse(addr, text);
        self.until(|_| client.is_finished());
        client.join().unwrap()
    }

    /// A bystander is served, every place is free again, and a shutdown ends at once.
    fn is_unharmed(&mut self, bystander: &mut Client, echo: &Addr) {
        self.echo(bystander, b"still here");
        self.until(|server| server.io().connection_count() == 1);
        let mut others: Vec<Client> = (1..PLACES).map(|_| Client::connect(echo)).collect();
        for client in &mut others {
            self.echo(client, b"a free place");
        }
        self.io().verify_stats().unwrap();
        drop(others);
        self.until(|server| server.io().connection_count() == 1);
        self.shutdown(PATIENCE).unwrap();
        assert_eq!(self.report().map(|report| report.forced), Some(0));
        self.io().verify_stats().unwrap();
    }

    fn bystander(&mut self) -> (Client, Addr)
    where
        Echo: socketserver::Handler<S>,
    {
        let echo = self.serve(Kind::Tcp, |_| Echo);
        let mut client = Client::connect(&echo);
        self.echo(&mut client, b"early");
        (client, echo)
    }
}
