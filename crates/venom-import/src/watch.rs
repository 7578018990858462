//! What is told of an import beside its records: how far it is in its files, and what is passed over that is no record.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use venom_core::without_secrets;

/// Told by those who read, heard by whoever holds a copy.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<State>);

#[derive(Debug, Default)]
struct State {
    bytes_read: AtomicU64,
    bytes_total: AtomicU64,
    passed_over: Mutex<BTreeMap<&'static str, u64>>,
    notes: Mutex<Vec<String>>,
    more_notes: AtomicU64,
}

/// Notes that are kept word for word; of the rest it is said how many there are.
const NOTES_MAX: usize = 100;

impl Watch {
    /// Bytes that were read of files and how many these have; `None` where nobody counts them.
    pub fn bytes(&self) -> Option<(u64, u64)> {
        let total = self.0.bytes_total.load(Ordering::Relaxed);
        let read = self.0.bytes_read.load(Ordering::Relaxed);
        (total > 0).then_some((read.min(total), total))
    }

    /// What was passed over so far, a phrase each with how often, sorted.
    pub fn passed_over(&self) -> Vec<(&'static str, u64)> {
        let passed = self.0.passed_over.lock();
        let passed = passed.unwrap_or_else(PoisonError::into_inner);
        passed.iter().map(|(what, count)| (*what, *count)).collect()
    }

    /// Takes out what was noted so far, in order: a sentence each, of where a collection goes whose name another one has,
    /// or of what is missing of a memory.
    pub fn take_notes(&self) -> Vec<String> {
        let notes = self.0.notes.lock();
        let notes = std::mem::take(&mut *notes.unwrap_or_else(PoisonError::into_inner));
        // Ids are quoted in them.
        let mut notes: Vec<String> = notes.iter().map(|note| without_secrets(note)).collect();
        match self.0.more_notes.swap(0, Ordering::Relaxed) {
            0 => {}
            more => notes.push(format!("{more} more such notes")),
        }
        notes
    }

    pub(crate) fn note(&self, note: String) {
        let mut notes = self.0.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() < NOTES_MAX {
            notes.push(note);
        } else {
            self.0.more_notes.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn will_read(&self, bytes: u64) {
        self.0.bytes_total.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn has_read(&self, bytes: u64) {
        self.0.bytes_read.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts what is no memory, or has no place among memories. `what` is in the plural.
    pub(crate) fn pass_over(&self, what: &'static str, count: u64) {
        if count > 0 {
            let passed = self.0.passed_over.lock();
            let mut passed = passed.unwrap_or_else(PoisonError::into_inner);
            *passed.entry(what).or_default() += count;
        }
    }
}
