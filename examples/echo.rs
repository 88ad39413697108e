//! A whole echo server: `cargo run --release --example echo -- 127.0.0.1:7000`.

fn main() -> std::io::Result<()> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".into());
    let mut server = socketserver::Server::new()?;
    let listener = server.listen(addr, |_peer| socketserver::Echo)?;
    println!("listening {:?}", server.io().local_addr(listener));
    server.serve_forever()
}
