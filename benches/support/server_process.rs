//! A server as a child process, and its CPU time and memory from `/proc`.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// A running server, killed on drop unless [`ServerProcess::stop`] was called.
pub(crate) struct ServerProcess {
    child: Child,
    addr: SocketAddr,
    /// Called with process id and address to stop a server that does not watch its standard input.
    pub(crate) send_stop: Option<fn(u32, SocketAddr)>,
}

impl ServerProcess {
    /// Starts a server that prints its address as the last word of its first line, and serves until
    /// the end of its standard input, which also comes when this process is gone.
    pub(crate) fn start(command: &mut Command) -> io::Result<ServerProcess> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let Some(stdout) = child.stdout.take() else { unreachable!("it was piped") };
        BufReader::new(stdout).read_line(&mut line)?;
        let addr = line.split_whitespace().last().unwrap_or_default();
        let addr = addr.parse().map_err(|_| io::Error::other("the server printed no address"))?;
        Ok(ServerProcess { child, addr, send_stop: None })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns nanoseconds of CPU of the server's running threads.
    pub(crate) fn cpu(&self) -> io::Result<u64> {
        cpu_of(self.child.id())
    }

    /// Returns bytes of anonymous memory.
    pub(crate) fn memory(&self) -> io::Result<u64> {
        let rollup = read(&format!("/proc/{}/smaps_rollup", self.child.id()))?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:"));
        Ok(number(line.and_then(|line| line.split_whitespace().next()))? * 1_024)
    }

    /// Ends the server's standard input, and waits for it to exit.
    pub(crate) fn stop(mut self) -> io::Result<()> {
        self.request_stop();
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(io::Error::other(status.to_string())) }
    }

    fn request_stop(&mut self) {
        drop(self.child.stdin.take());
        if let Some(send_stop) = self.send_stop.take() {
            send_stop(self.child.id(), self.addr);
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // The child may be a wrapper that would leave the server running.
        self.request_stop();
        // Both fail after `stop`, when there is no process.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns nanoseconds of CPU of a process' running threads.
pub(crate) fn cpu_of(process: u32) -> io::Result<u64> {
    let threads = format!("/proc/{process}/task");
    let mut sum = 0;
    for thread in fs::read_dir(&threads).map_err(|error| at(&threads, &error))? {
        let stat = read(&format!("{}/schedstat", thread?.path().display()))?;
        sum += number(stat.split_whitespace().next())?;
    }
    Ok(sum)
}

fn read(path: &str) -> io::Result<String> {
    fs::read_to_string(path).map_err(|error| at(path, &error))
}

fn at(path: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{path}: {error}"))
}

fn number(text: Option<&str>) -> io::Result<u64> {
    let number = text.and_then(|text| text.parse().ok());
    number.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unexpected format in /proc"))
}
