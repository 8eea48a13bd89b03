//! Processes as /proc shows them, and the signals that tests send them.

use std::fs;
use std::process::{Command, Stdio};

/// Sends a signal, by its name, to processes that may be gone already.
pub fn signal(name: &str, pids: &[u32]) {
    // A process that is gone makes kill complain, and is as good as killed.
    let sent = Command::new("kill")
        .arg(format!("-{name}"))
        .args(pids.iter().map(u32::to_string))
        .stderr(Stdio::null())
        .status();
    sent.expect("kill is there");
}

/// The state of a process by its letter: `R`, `S`, `T` for stopped, `Z` for one whose end nobody has looked at.
pub fn state(pid: u32) -> Option<char> {
    fields(pid)?.0.chars().next()
}

/// Whether a process runs no more.
pub fn is_gone(pid: u32) -> bool {
    matches!(state(pid), None | Some('Z' | 'X'))
}

/// The processes that this one has started.
pub fn children(parent: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").expect("Linux has /proc").flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| fields(*pid).is_some_and(|(_, its_parent)| its_parent == parent))
        .collect()
}

/// The state and the parent. The name before them may hold anything, even parentheses.
fn fields(pid: u32) -> Option<(String, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}
