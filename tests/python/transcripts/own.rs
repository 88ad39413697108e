//! A server program on the library, for services and modes that the command does not have: this very
//! test, started as `own SERVICE MODE TRANSPORT ADDR`. Processes need a program with one thread,
//! which a test is not.

use std::io::{self, BufRead, Read};

use socketserver::blocking::{Request, Workers};
use socketserver::{Addr, Context, Handler, Input, LoopGroup, Server, SocketId};

pub(crate) fn serve(words: &[&str]) -> io::Result<()> {
    env_logger::init();
    let [service, mode, transport, addr] = *words else {
        return Err(io::Error::other("own SERVICE MODE TRANSPORT ADDR"));
    };
    let addr = match transport {
        "unix" | "unixgram" => Addr::Unix(addr.into()),
        _ => Addr::Ip(addr.parse().map_err(io::Error::other)?),
    };
    let is_stream = matches!(transport, "tcp" | "unix");
    if mode == "loops" {
        return serve_on_two_loops(service, transport, is_stream, &addr);
    }
    let mut server = Server::new()?;
    let id = if mode == "reactor" {
        open(&mut server, service, is_stream, addr)?
    } else {
        open_blocking(&mut server, service, mode, is_stream, addr)?
    };
    let addr = server.io().local_addr(id).map(|addr| addr.to_string()).unwrap_or_default();
    println!("listening {transport} {addr}");
    server.serve_forever()
}

fn serve_on_two_loops(
    service: &str,
    transport: &str,
    is_stream: bool,
    addr: &Addr,
) -> io::Result<()> {
    LoopGroup::new(2)
        .serve(
            |_index| (),
            |index, server: &mut Server| {
                let id = open(server, service, is_stream, addr.clone())?;
                // The loops are built one after the other.
                if index == 1 {
                    let addr = server.io().local_addr(id).unwrap_or_else(|| addr.clone());
                    println!("listening {transport} {addr}");
                }
                Ok(())
            },
        )
        .map(drop)
}

fn open(server: &mut Server, service: &str, is_stream: bool, addr: Addr) -> io::Result<SocketId> {
    match (service, is_stream) {
        ("hello", true) => server.listen(addr, |_peer| Hello),
        ("faulty", true) => server.listen(addr, |_peer| Faulty),
        ("faulty", false) => server.bind(addr, faulty_packet),
        _ => Err(io::Error::other("no such service on the loop here")),
    }
}

fn open_blocking(
    server: &mut Server,
    service: &str,
    mode: &str,
    is_stream: bool,
    addr: Addr,
) -> io::Result<SocketId> {
    let mode = match mode {
        "inline" => Workers::inline(),
        "threads" => Workers::threads(8),
        _ => Workers::processes(8),
    };
    let serve: fn(&mut Request<'_>) -> io::Result<()> = match service {
        "echo" => |request| answer(request, |_| {}),
        "upper" => |request| answer(request, <[u8]>::make_ascii_uppercase),
        "discard" => |request| io::copy(request, &mut io::sink()).map(drop),
        "hello" => hello,
        _ => faulty,
    };
    let factory = move |_: &Addr| move |request: &mut Request<'_>| serve(request);
    if is_stream {
        server.listen_blocking(addr, &mode, factory)
    } else {
        server.bind_blocking(addr, &mode, factory)
    }
}

fn answer(request: &mut Request<'_>, change: fn(&mut [u8])) -> io::Result<()> {
    if let Some(packet) = request.datagram() {
        let mut packet = packet.to_vec();
        change(&mut packet);
        return request.send_all(&packet);
    }
    let mut buffer = vec![0; 64 << 10];
    loop {
        let n = request.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        change(&mut buffer[..n]);
        request.send_all(&buffer[..n])?;
    }
}

fn asked_to() -> io::Error {
    io::Error::other("it was asked to")
}

fn hello(request: &mut Request<'_>) -> io::Result<()> {
    request.send_all(b"welcome")?;
    let mut buffer = [0; 1024];
    loop {
        let n = request.read(&mut buffer)?;
        match &buffer[..n] {
            b"" | b"exit" => return Ok(()),
            _ => request.send_all(b"hello")?,
        }
    }
}

fn faulty(request: &mut Request<'_>) -> io::Result<()> {
    if let Some(packet) = request.datagram() {
        return match &packet.to_vec()[..] {
            b"silent" => Ok(()),
            b"partial" => request.send_all(b"some").and(Err(asked_to())),
            b"fail" => Err(asked_to()),
            b"panic" => panic!("it was asked to"),
            packet => request.send_all(packet),
        };
    }
    let mut line = Vec::new();
    while request.read_until(b'\n', &mut line)? > 0 {
        match &line[..] {
            b"fail\n" => return request.send_all(b"failing\n").and(Err(asked_to())),
            b"panic\n" => {
                request.send_all(b"failing\n")?;
                panic!("it was asked to");
            }
            line => request.send_all(line)?,
        }
        line.clear();
    }
    Ok(())
}

struct Hello;

impl Handler for Hello {
    fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        cx.send(b"welcome");
        Ok(())
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        match input.take_all() {
            b"exit" => cx.close(),
            _ => drop(cx.send(b"hello")),
        }
        Ok(())
    }
}

struct Faulty;

impl Handler for Faulty {
    fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        while let Some(line) = input.take_until(b'\n', 1024)? {
            match line {
                b"fail" | b"panic" => {
                    cx.send(b"failing\n");
                    assert!(line != b"panic", "it was asked to");
                    return Err(asked_to());
                }
                line => drop(cx.send(&[line, b"\n"].concat())),
            }
        }
        Ok(())
    }
}

fn faulty_packet(cx: &mut Context<'_>, packet: &[u8], _peer: &Addr) -> io::Result<()> {
    match packet {
        b"silent" => {}
        b"partial" => {
            cx.reply(b"some");
            return Err(asked_to());
        }
        b"fail" => return Err(asked_to()),
        b"panic" => panic!("it was asked to"),
        packet => drop(cx.reply(packet)),
    }
    Ok(())
}
