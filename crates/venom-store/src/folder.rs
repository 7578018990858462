//! The data folder: making it, what file system it lies on, how much room is left.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use venom_core::StoreError;

/// In a data folder: the lock of whoever backs it up.
pub const BACKUP_LOCK: &str = "backup.lock";
/// In a data folder: copies that are to be encrypted, so that none lies elsewhere in the open.
pub const BACKUP_STAGING: &str = "backup.partial";

/// Removes copies that a killed backup left in a data folder. `false` if one is being made now.
pub(crate) fn remove_left_copies(data: &Path) -> io::Result<bool> {
    let staging = data.join(BACKUP_STAGING);
    if std::fs::symlink_metadata(&staging).is_err() {
        return Ok(true);
    }
    // Held for as long as it takes, so that nobody begins meanwhile.
    let lock = private_file().create(true).open(data.join(BACKUP_LOCK))?;
    if matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) {
        return Ok(false);
    }
    std::fs::remove_dir_all(&staging).map(|()| true)
}

/// Makes the folder (mode 0700) with those above it, durably; leaves one that exists as it is.
/// Returns its absolute path.
///
/// # Errors
/// [`StoreError::Folder`] that names the path, what was expected and what was found.
pub(crate) fn create(path: &Path) -> Result<PathBuf, StoreError> {
    let folder = std::path::absolute(path).map_err(|e| unusable(path, &e))?;
    match std::fs::metadata(&folder) {
        Ok(found) if found.is_dir() => return Ok(folder),
        Ok(_) => {
            return Err(StoreError::Folder(format!(
                "the data folder {} cannot be used: expected a folder, found a file",
                folder.display()
            )));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(unusable(&folder, &error));
        }
        Err(_) => {}
    }
    private_folders(&folder).map_err(|e| unusable(&folder, &e))?;
    Ok(folder)
}

/// Makes a folder that only its owner may read with those above it, durably; leaves what is there as it is.
///
/// # Errors
/// Those of the file system.
pub fn private_folders(folder: &Path) -> io::Result<()> {
    let folder = std::path::absolute(folder)?;
    let missing: Vec<&Path> = folder.ancestors().take_while(|p| !p.exists()).collect();
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(&folder)?;
    for parent in missing.into_iter().filter_map(Path::parent) {
        sync(parent)?;
    }
    Ok(())
}

/// Makes a folder that only its owner may read, in one that is there; leaves one that exists as it is.
///
/// # Errors
/// Those of the file system.
pub fn private_folder(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// The sentence for a folder that the operating system refuses.
pub(crate) fn unusable(folder: &Path, error: &io::Error) -> StoreError {
    StoreError::Folder(format!(
        "the data folder {} cannot be used: expected a folder that this user (uid {}) may read and \
         write, found: {error}",
        folder.display(),
        rustix::process::geteuid().as_raw()
    ))
}

/// Options for a file that only its owner may read.
pub fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// Makes the names in a folder durable. File systems that cannot (some network shares) keep them
/// durable by themselves or not at all; that is no error.
///
/// # Errors
/// If a disk fails.
pub fn sync(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        result => result,
    }
}

/// Makes the files in a folder durable, with their names. `opened` is the folder, from before they were written: errors
/// since then are told. One call for the whole file system where there is one, as a call for each file waits for the
/// disk as often; else O(files).
///
/// # Errors
/// If a disk fails, or it is full.
pub fn sync_files(opened: &File, folder: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    match rustix::fs::syncfs(opened) {
        // A sandbox that does not know the call.
        Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {}
        synced => return Ok(synced?),
    }
    #[cfg(not(target_os = "linux"))]
    let _ = opened;
    sync_each(folder)
}

fn sync_each(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        File::open(entry?.path())?.sync_all()?;
    }
    sync(folder)
}

/// Renames a file to a name that nobody has, on the same file system. Call [`sync`] afterwards to make that durable.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if the name is taken, and those of the file system.
pub fn rename_to_free(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system that cannot look and rename at once.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => look_and_rename(from, to),
        renamed => Ok(renamed?),
    }
}

fn look_and_rename(from: &Path, to: &Path) -> io::Result<()> {
    if to.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    std::fs::rename(from, to)
}

/// Which file a path leads to; two paths with equal identities are one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

/// The identity of the file at `path`, by its name only: opening and closing a database file would
/// give up SQLite's locks on it (they belong to the process, not to the descriptor).
pub(crate) fn identity(path: &Path) -> io::Result<Identity> {
    std::fs::metadata(path).map(|found| identity_of(&found))
}

/// The identity in metadata that was read before.
pub(crate) fn identity_of(found: &std::fs::Metadata) -> Identity {
    Identity {
        device: found.dev(),
        inode: found.ino(),
    }
}

/// Room on the file system of `folder`.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Bytes that this user may still write; `None` where the file system does not tell.
    pub free_bytes: Option<u64>,
    /// Whether the file system takes no writes at all.
    pub read_only: bool,
}

/// Asks for the room on the file system of `folder`.
///
/// # Errors
/// If there is no such folder.
pub fn room(folder: &Path) -> io::Result<Room> {
    let found = rustix::fs::statvfs(folder)?;
    let free_bytes = found.f_bavail.saturating_mul(found.f_frsize);
    Ok(Room {
        free_bytes: (found.f_blocks > 0).then_some(free_bytes),
        read_only: found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
    })
}

/// The name of the file system of `folder` if it is reached over a network or through another
/// process, where shared memory and memory maps cannot be trusted. Linux only; elsewhere `None`.
pub(crate) fn network_file_system(folder: &Path) -> Option<&'static str> {
    magic(folder).and_then(network_name)
}

#[cfg(target_os = "linux")]
fn magic(folder: &Path) -> Option<u32> {
    let found = rustix::fs::statfs(folder).ok()?;
    // The field is signed on some machines; the magic numbers are 32 bits on all.
    u32::try_from(i128::from(found.f_type) & 0xffff_ffff).ok()
}

#[cfg(not(target_os = "linux"))]
fn magic(_: &Path) -> Option<u32> {
    None
}

/// Magic numbers from `linux/magic.h` and statfs(2).
const fn network_name(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "NFS",
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => "SMB",
        0x6573_5546 => "FUSE",
        0x0102_1997 => "9P",
        0x00c3_6400 => "Ceph",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x7375_7245 => "Coda",
        0x564c => "NCP",
        0x0bd0_0bd0 => "Lustre",
        0x0116_1970 => "GFS2",
        0x7461_636f => "OCFS2",
        0x4750_4653 => "GPFS",
        0x786f_4256 => "VirtualBox shared folder",
        0xbacb_acbc => "VMware shared folder",
        0x7c7c_6673 => "Parallels shared folder",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_by_their_number() {
        assert_eq!(network_name(0xfe53_4d42), Some("SMB"));
        assert_eq!(network_name(0x6969), Some("NFS"));
        for local in [0xef53, 0x0102_1994, 0x794c_7630, 0x9123_683e, 0x5846_5342] {
            assert_eq!(network_name(local), None, "{local:#x}");
        }
    }

    #[test]
    fn a_file_takes_no_name_that_is_taken() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for rename in [rename_to_free, look_and_rename] {
            std::fs::write(at("new"), "new").unwrap();
            std::fs::write(at("file"), "old").unwrap();
            std::fs::create_dir_all(at("folder")).unwrap();
            let _ = std::os::unix::fs::symlink(at("nowhere"), at("link"));
            for taken in ["file", "folder", "link"] {
                let refused = rename(&at("new"), &at(taken)).unwrap_err();
                assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists, "{taken}");
            }
            assert_eq!(std::fs::read(at("file")).unwrap(), b"old");
            rename(&at("new"), &at("free")).unwrap();
            assert_eq!(std::fs::read(at("free")).unwrap(), b"new");
            assert!(!at("new").exists());
            std::fs::remove_file(at("free")).unwrap();
        }
    }

    #[test]
    fn the_files_of_a_folder_are_made_durable() {
        let root = tempfile::tempdir().unwrap();
        let opened = File::open(root.path()).unwrap();
        std::fs::write(root.path().join("file"), "x").unwrap();
        sync_files(&opened, root.path()).unwrap();
        sync_each(root.path()).unwrap();
        sync_each(&root.path().join("nowhere")).unwrap_err();
    }

    #[test]
    fn a_folder_is_made_for_its_owner_only() {
        let root = tempfile::tempdir().unwrap();
        let folder = create(&root.path().join("a/b")).unwrap();
        assert_eq!(std::fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        assert!(room(&folder).unwrap().free_bytes.unwrap() > 0);
        let file = root.path().join("file");
        std::fs::write(&file, "x").unwrap();
        for bad in [file.clone(), file.join("below")] {
            let error = create(&bad).unwrap_err();
            assert!(matches!(error, StoreError::Folder(_)));
            assert!(error.to_string().contains(&bad.display().to_string()));
        }
    }
}
