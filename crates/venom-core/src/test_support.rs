//! In-memory adapters of every port, and the contract suites that all adapters must pass.

pub mod contract;
pub mod doubles;
pub mod operations;
pub mod samples;
