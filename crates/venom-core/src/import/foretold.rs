//! What an import will make of records that repeat each other.

use super::{ImportKey, Imported, NewImport};
use crate::duplicate;
use crate::memory::MemoryId;
use crate::time::Timestamp;
use std::collections::{HashMap, HashSet};

/// The records of an import that is only looked at, as far as later ones may repeat them. A record takes about 200 bytes,
/// however long its text is.
#[derive(Debug, Default)]
pub struct Foretold {
    /// Of everything that would be kept, or is.
    keys: HashSet<ImportKey>,
    /// Which texts in which spaces would be stored under which ids.
    ids: HashMap<MemoryId, u64>,
    /// By what they say: when that happened.
    said: HashMap<u64, HashSet<Option<Timestamp>>>,
}

impl Foretold {
    /// What will become of a record that comes behind all before it: `key` is that of the record as it was read, `new` as
    /// it may be kept, `answer` what would become of it if it came alone. O(text + equal texts).
    pub fn settle(&mut self, key: ImportKey, new: &NewImport, answer: Imported) -> Imported {
        let id = match answer {
            Imported::Refused(_) => return answer,
            Imported::Known(_) | Imported::Hidden(_) => {
                self.keys.insert(key);
                return answer;
            }
            Imported::Stored(id) | Imported::Renumbered(id) => id,
        };
        if !self.keys.insert(key) {
            return Imported::Known(id);
        }
        let said = duplicate::said(&new.space, &new.origin, &new.content);
        let text = [new.space.as_str(), "\0", new.content.as_str()];
        let text = duplicate::fnv1a(text.into_iter().flat_map(str::bytes));
        let at = new.origin.occurred_at;
        let is_known = if new.id == Some(id) {
            self.ids.get(&id) == Some(&text)
        } else {
            let earlier = self.said.get(&said);
            earlier.is_some_and(|times| at.is_none() || times.contains(&at))
        };
        if is_known {
            return Imported::Known(id);
        }
        self.ids.entry(id).or_insert(text);
        self.said.entry(said).or_default().insert(at);
        answer
    }
}

#[cfg(all(test, feature = "test-support"))]
mod tests {
    use super::*;
    use crate::memory::{Content, Origin, SpaceName, Speaker, Tags};
    use crate::ports::Embedder as _;
    use crate::secrets::SecretPolicy;
    use crate::source::Source;
    use crate::test_support::doubles::{FixedClock, HashEmbedder, MemoryMap};
    use crate::use_cases::{TimeIds, Venom};
    use proptest::prelude::*;
    use std::sync::Arc;

    /// Records of few texts, ids, times and speakers, so that they repeat each other in every way. No time is that of an
    /// id: which of two takes it is told by the store alone.
    fn record() -> impl Strategy<Value = NewImport> {
        let texts = ["one", "One.", "two", "the key is AKIAIOSFODNN7EXAMPLE", "1"];
        let ids = [None, None, Some(7), Some(8), Some(1 << 62)];
        let moments = [None, None, Some(1_000_000), Some(2_000_000)];
        let speakers = [None, Some("Ana"), Some("ANA"), Some("Ben")];
        let spaces = ["default", "default", "work"];
        (
            prop::sample::select(texts.to_vec()),
            prop::sample::select(ids.to_vec()),
            prop::sample::select(moments.to_vec()),
            prop::sample::select(moments.to_vec()),
            prop::sample::select(speakers.to_vec()),
            prop::sample::select(spaces.to_vec()),
            any::<bool>(),
        )
            .prop_map(
                |(text, id, stored, occurred, speaker, space, is_time_guessed)| NewImport {
                    id: id.and_then(MemoryId::new),
                    space: SpaceName::parse(space).expect("it is valid"),
                    content: Content::parse(text).expect("it is valid"),
                    tags: Tags::default(),
                    origin: Origin {
                        speaker: speaker.map(|name| Speaker::parse(name).expect("it is valid")),
                        occurred_at: occurred.map(Timestamp::from_micros),
                        ..Origin::default()
                    },
                    stored_at: stored.map(Timestamp::from_micros),
                    is_time_guessed,
                    source: Source::default(),
                    metadata: None,
                    turn: None,
                },
            )
    }

    fn kind(answer: &Imported) -> &'static str {
        match answer {
            Imported::Stored(_) | Imported::Renumbered(_) => "stored",
            Imported::Known(_) | Imported::Hidden(_) => "known",
            Imported::Refused(_) => "refused",
        }
    }

    proptest! {
        #[test]
        fn what_is_foretold_comes_true(records in prop::collection::vec(record(), 0..24), batch in 1_usize..9) {
            let embedder = Arc::new(HashEmbedder::new());
            let store = Arc::new(MemoryMap::new(embedder.model().clone()));
            let clock = FixedClock(Timestamp::from_micros(1_700_000_000_000_000));
            let venom = Venom::new(embedder, store, Arc::new(clock), Arc::new(TimeIds::after(None)));
            let mut foretold = Foretold::default();
            let mut expected = Vec::new();
            for batch in records.chunks(batch) {
                let answers = venom.look_at_import(batch.to_vec(), None).unwrap();
                for (new, answer) in batch.iter().zip(answers) {
                    let kept = new.clone().screened(SecretPolicy::default());
                    let kept = kept.unwrap_or_else(|_| new.clone());
                    expected.push(foretold.settle(new.key(), &kept, answer));
                }
            }
            let mut came = Vec::new();
            for batch in records.chunks(batch) {
                came.extend(venom.import(batch.to_vec(), None).unwrap());
            }
            let kinds = |answers: &[Imported]| answers.iter().map(kind).collect::<Vec<_>>();
            prop_assert_eq!(kinds(&expected), kinds(&came), "{:?} {:?}", expected, came);
        }
    }
}
