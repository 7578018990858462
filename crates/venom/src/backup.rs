//! Backups: making them, keeping some of them, putting one back.
//!
//! A backup is a folder with copies of the databases, the personas and a manifest ([`manifest`]). It is made beside its place and gets
//! its name once it is whole, synced and verified (`make`), so that a folder with such a name is always complete. What
//! lies on a shelf, as we call the folder that backups are made in, is in [`shelf`]; which of them stay in [`keep`];
//! what is encrypted in [`seal`]; the personas somebody wrote in [`personas`]; making one every so often in [`schedule`]; the way back in `restore`. The copies
//! themselves are made by the crates that own the databases.

mod files;
mod keep;
mod make;
mod manifest;
mod passphrase;
mod personas;
mod restore;
mod schedule;
mod seal;
mod settings;
mod shelf;

pub(crate) use files::megabytes;
pub(crate) use keep::Keep;
pub(crate) use make::{Made, Task, make};
pub(crate) use manifest::Manifest;
pub(crate) use passphrase::{Passphrase, Prompt};
pub(crate) use personas::target::{Fate, Fates};
pub(crate) use restore::{Parts, Plan, Restored, Wish, look, restore};
pub(crate) use schedule::{Schedule, start as start_schedule};
pub(crate) use settings::{BackupSettings, parse as parse_settings, parse_kept};
