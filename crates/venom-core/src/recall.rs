//! How the right memory is found: the recipe, as pure functions over what a space holds.
//!
//! A memory's score is the sum of what its words, its meaning, its neighbours in the conversation and the
//! memory itself say. `docs/retrieval.md` tells what each part is worth and what was tried and left out;
//! every constant stands beside what uses it.

mod analysis;
mod builder;
mod document;
mod kernel;
#[cfg(test)]
mod languages;
mod matched;
mod near;
mod question;
mod score;
mod section;
mod space;
mod spelling;
mod time_words;

pub use analysis::{Stemming, is_slip};
pub use builder::{BuiltSection, SectionBuilder};
pub use document::Document;
pub use matched::SoughtTerms;
pub use near::NearWords;
pub use question::{Question, addressed};
pub use score::{Asked, Candidates, Part, Parts, Scope, score};
pub use section::{Corpus, Facts, Section, has_word};
pub use space::{NewEntry, Slot, Space};
pub use spelling::{Spelling, mendable_words, mended};
