//! Backups are known until they are gone.

use crate::backup::{Backup, BackupNote};
use crate::ports::MemoryStore;
use crate::time::Timestamp;

fn backup(path: &str, micros: i64) -> Backup {
    Backup {
        path: path.to_owned(),
        made_at: Timestamp::from_micros(micros),
    }
}

#[track_caller]
fn note(store: &dyn MemoryStore, made: &[Backup], removed: &[&str]) -> Vec<Backup> {
    let note = BackupNote {
        made: made.to_vec(),
        removed: removed.iter().copied().map(str::to_owned).collect(),
    };
    store.note_backups(&note).expect("the note is valid");
    store.backups().expect("the store can be read")
}

pub(super) fn backups_are_known_until_they_are_gone(store: &dyn MemoryStore) {
    let [early, late, same] = [backup("/b/2", -5), backup("/b/1", 70), backup("/b/3", 70)];
    assert_eq!(store.backups().expect("the store can be read"), []);
    assert_eq!(note(store, &[], &[]), []);
    let made = [same.clone(), late.clone(), early.clone()];
    assert_eq!(note(store, &made, &[]), [early, late, same.clone()]);
    let again = backup("/b/2", 90);
    assert_eq!(
        note(store, std::slice::from_ref(&again), &["/b/1", "/unknown"]),
        [same.clone(), again]
    );
    // What is gone and made again in one note is there.
    let both = backup("/b/2", 100);
    assert_eq!(
        note(store, std::slice::from_ref(&both), &["/b/2"]),
        [same, both]
    );
}
