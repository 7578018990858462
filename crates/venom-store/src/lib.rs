//! Durable memories: one SQLite file is the truth, an exact vector index in memory is derived from it.
//!
//! A process takes the [`Lease`] of a data folder, opens the [`SqliteStore`] with it, and is then the
//! only one that reads or writes there. What lies in the folder is in `docs/file-format.md`. Start
//! reading at [`SqliteStore`] in `store`; `open` says what is checked before a byte is trusted, `write`
//! and `read` have the statements, `index` the search.

mod archive;
mod backups;
mod block;
mod cleaning;
pub mod doctor;
mod erase;
mod fault;
pub mod folder;
mod import;
mod index;
mod indexer;
mod lease;
mod load;
mod marks;
mod open;
pub mod pages;
pub mod quantised;
mod read;
mod reembed;
pub mod restore;
mod rows;
mod schema;
mod scrub;
mod sealed;
mod snapshot;
mod spaces;
mod store;
#[cfg(test)]
mod tests;
mod turns;
mod versions;
mod write;

pub use cleaning::Cleanness;
pub use index::{IndexOptions, IndexSizes};
pub use lease::{Holder, Lease, LeaseError};
pub use open::{Journal, StoreInfo};
pub use reembed::reembed;
pub use snapshot::{DatabaseFacts, Unsound, inspect};
pub use store::{FREE_BYTES_MIN, SqliteStore};
