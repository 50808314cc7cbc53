//! Starting and stopping processes: which of them still run, signals, and free ports.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};

/// Returns those of these processes that still run.
pub fn still_running(started: &BTreeMap<u32, String>) -> BTreeMap<u32, &str> {
    let now = processes();
    // Compare the name too, because the ID may have been reused.
    let runs = |pid, name: &String| now.get(pid).is_some_and(|process| process.name == *name);
    started
        .iter()
        .filter(|(pid, name)| runs(pid, name))
        .map(|(pid, name)| (*pid, name.as_str()))
        .collect()
}

struct Process {
    parent: u32,
    name: String,
}

/// All running processes, by process ID.
fn processes() -> BTreeMap<u32, Process> {
    let output = std::process::Command::new("ps")
        .args(["-A", "-ww", "-o", "pid=,ppid=,stat=,args="])
        .output()
        .expect("this test needs ps");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let pid = fields.next()?.parse().ok()?;
            let parent = fields.next()?.parse().ok()?;
            // A zombie has exited. It is up to its parent to reap it.
            let runs = !fields.next()?.starts_with('Z');
            runs.then(|| (pid, Process { parent, name: fields.collect::<Vec<_>>().join(" ") }))
        })
        .collect()
}

/// The names of all descendants of a process, by process ID.
pub fn descendants(ancestor: u32) -> BTreeMap<u32, String> {
    let processes = processes();
    let descends = |mut pid: u32| {
        while let Some(process) = processes.get(&pid) {
            if process.parent == ancestor {
                return true;
            }
            pid = process.parent;
        }
        false
    };
    processes
        .iter()
        .filter(|(pid, _)| descends(**pid))
        .map(|(pid, process)| (*pid, process.name.clone()))
        .collect()
}

/// Sends a signal to a process, or to a process group if the ID has a minus sign. Returns whether
/// that succeeded.
pub fn kill(signal: &str, target: &str) -> bool {
    let status = std::process::Command::new("kill").args(["-s", signal, "--", target]).status();
    status.is_ok_and(|status| status.success())
}

/// Returns a port that no process uses at the moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}
