//! Namespaces of the Linux kernel: a mount or a network of its own for one process.

use crate::BINARY;
use std::path::PathBuf;
use venom_testing::{Command, Folder};

/// The program in a new namespace (`--mount`, `--net`, `--uts`, `--pid --fork`), after a shell command
/// has prepared it. `None` where the system refuses to make one, as containers often do.
pub(crate) fn venom_in(folder: &Folder, namespaces: &str, prepare: &str) -> Option<Command> {
    // Only root may make namespaces directly; others become root of a user namespace first.
    let namespaces: Vec<&str> = namespaces.split(' ').collect();
    let ways = [
        namespaces.clone(),
        [vec!["--user", "--map-root-user"], namespaces.clone()].concat(),
    ];
    let can_make = |way: &&Vec<&str>| {
        let tried = std::process::Command::new("unshare")
            .args(way.iter())
            .arg("true")
            .output();
        tried.is_ok_and(|output| output.status.success())
    };
    let Some(way) = ways.iter().find(can_make) else {
        eprintln!("skipped: this system makes no namespaces ({namespaces:?})");
        return None;
    };
    let script = format!("{prepare} && exec \"$0\" \"$@\"");
    let words = way
        .iter()
        .copied()
        .chain(["sh", "-c", &script, BINARY])
        .map(str::to_owned);
    Some(Command::new("unshare", folder.path()).args(words.collect::<Vec<_>>()))
}

/// Where a path of a process in another mount namespace is seen from here.
pub(crate) fn seen_from_here(process: u32, path: &std::path::Path) -> PathBuf {
    let inside = path.strip_prefix("/").expect("an absolute path");
    PathBuf::from(format!("/proc/{process}/root")).join(inside)
}

/// The processes whose parent is `process`, zombies among them.
pub(crate) fn children_of(process: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parent = |id: u32| -> Option<u32> {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
        line.trim().parse().ok()
    };
    ids.filter(|id| parent(*id) == Some(process)).collect()
}
