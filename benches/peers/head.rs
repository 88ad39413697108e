//! The lines above the table: the machine, and what is equal for all servers.

use std::fs;
use std::process::Command;

pub(crate) fn print(rounds: usize, shares_processor: bool, python: Option<&str>) {
    let processor = cpu_model().unwrap_or_else(|| String::from("unknown processor"));
    let linux = read("/proc/sys/kernel/osrelease");
    let linux = linux.split('-').next().unwrap_or_default();
    let python = python.map_or_else(|| String::from("no python3"), |it| format!("Python {it}"));
    let rust = rust_version().unwrap_or_else(|| String::from("unknown Rust"));
    println!("Machine: {processor}, Linux {linux}, {rust}, {python}.");
    let where_to = if shares_processor {
        "one processor shared by server and clients"
    } else {
        "ANY processor, since taskset is missing"
    };
    let backlog = read("/proc/sys/net/core/somaxconn");
    println!("Equal for all: the same clients, {where_to}, a process of its own,");
    println!("the system's maximum as backlog ({backlog}), TCP_NODELAY, default kernel buffers.");
    println!("Not equal: only ours has limits, fairness and an idle timeout, which is armed. Ours");
    println!("and bare mio have one buffer of 256 KiB for all, asyncio reads 256 KiB at most, the");
    println!("others have 16 KiB a connection.");
    println!(
        "CPU a message: all threads of the server, user space and kernel; medians of the ratios"
    );
    println!("to bare mio in {rounds} interleaved rounds [lower quartile, upper quartile].");
    println!("Memory: resident anonymous memory of the process for each idle connection");
    println!("after a message; memory of the kernel and pages never touched do not count.");
    println!();
}

fn cpu_model() -> Option<String> {
    let info = read("/proc/cpuinfo");
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, model)| String::from(model.trim()))
}

fn rust_version() -> Option<String> {
    let output = Command::new("rustc").arg("--version").output().ok()?;
    let version = String::from_utf8(output.stdout).ok()?;
    version.split_whitespace().nth(1).map(|version| format!("Rust {version}"))
}

fn read(path: &str) -> String {
    fs::read_to_string(path).map(|text| String::from(text.trim())).unwrap_or_default()
}
