//! What a test has started, and whether it is gone.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};

/// What still runs of these.
pub fn left_of(started: &BTreeMap<u32, String>) -> BTreeMap<u32, &str> {
    let now = processes();
    // The name too, because the id may have been given to another.
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

/// All that run, by process id.
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
            // A zombie has ended. Whether init buries it is not ours to test.
            let runs = !fields.next()?.starts_with('Z');
            runs.then(|| (pid, Process { parent, name: fields.collect::<Vec<_>>().join(" ") }))
        })
        .collect()
}

/// The names of all that a process has started, directly or not, by process id.
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

pub fn kill(signal: &str, target: &str) -> bool {
    let status = std::process::Command::new("kill").args(["-s", signal, "--", target]).status();
    status.is_ok_and(|status| status.success())
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}
