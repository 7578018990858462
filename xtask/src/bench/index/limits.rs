//! A command inside a limit of half a processor and 1 GB, where the machine allows it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Linux keeps its control groups.
const GROUPS: &str = "/sys/fs/cgroup";
/// Of these microseconds …
const PERIOD_US: u32 = 100_000;
/// … the processes of the group may use these.
const QUOTA_US: u32 = 50_000;
/// Bytes, the file cache included.
const MEMORY_BYTES: u32 = 1_000_000_000;

/// Control groups with the limits, removed when dropped.
pub(in super::super) struct Limits(Vec<PathBuf>);

impl Limits {
    /// Makes them; a sentence if this machine does not allow it.
    pub(in super::super) fn new() -> Result<Self, String> {
        let name = format!("venom-bench-{}", std::process::id());
        let root = Path::new(GROUPS);
        let (folders, settings) = if root.join("cgroup.controllers").exists() {
            let both = root.join(name);
            let settings = vec![
                (both.join("cpu.max"), format!("{QUOTA_US} {PERIOD_US}")),
                (both.join("memory.max"), MEMORY_BYTES.to_string()),
            ];
            (vec![both], settings)
        } else {
            let [cpu, memory] = ["cpu", "memory"].map(|kind| root.join(kind).join(&name));
            let settings = vec![
                (cpu.join("cpu.cfs_period_us"), PERIOD_US.to_string()),
                (cpu.join("cpu.cfs_quota_us"), QUOTA_US.to_string()),
                (
                    memory.join("memory.limit_in_bytes"),
                    MEMORY_BYTES.to_string(),
                ),
            ];
            (vec![cpu, memory], settings)
        };
        let mut made = Self(Vec::new());
        for folder in folders {
            fs::create_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
            made.0.push(folder);
        }
        for (file, value) in settings {
            fs::write(&file, value).map_err(|e| format!("{}: {e}", file.display()))?;
        }
        Ok(made)
    }

    /// A command that runs `program` inside.
    pub(in super::super) fn command(&self, program: &OsStr) -> Command {
        let mut command = Command::new("sh");
        let script = "program=$1; count=$2; shift 2
            while [ $count -gt 0 ]; do echo $$ > \"$1\"; shift; count=$((count - 1)); done
            exec \"$program\" \"$@\"";
        command.args(["-ec", script, "sh"]).arg(program);
        command.arg(self.0.len().to_string());
        command.args(self.0.iter().map(|folder| folder.join("cgroup.procs")));
        command
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        for folder in &self.0 {
            let _ = fs::remove_dir(folder);
        }
    }
}
