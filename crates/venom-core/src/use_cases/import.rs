//! The use case import: memories from elsewhere, a batch at a time.

use super::Venom;
use crate::error::{Error, InputError};
#[cfg(doc)]
use crate::import::Foretold;
use crate::import::{Arrival, ImportKey, Imported, NEIGHBOURS, NewImport};
use crate::memory::{Memory, MemoryId};
use crate::secrets::SecretPolicy;

/// What became of a batch before anything is stored.
struct SortedOut {
    /// Answers, as far as there are any.
    answers: Vec<Option<Imported>>,
    /// What there is none for, each with its place.
    new: Vec<(usize, Arrival)>,
    /// Records without an id of their own that are known, and as which memories.
    repeated: Vec<(ImportKey, MemoryId)>,
}

fn lost() -> Imported {
    Imported::Refused("the store did not say what became of it".to_owned())
}

impl Venom {
    /// Stores memories from elsewhere in one transaction, durable on return; one answer per memory, in order. What was
    /// imported before is left as it is now. What cannot be kept is refused without a word about the others. Texts with
    /// secrets are treated as `secrets` says, or as the owner's rules do. The owner imports, so that quarantine has no say.
    ///
    /// # Errors
    /// [`Error::Embed`] or [`Error::Store`]; then none of them was stored.
    pub fn import(
        &self,
        batch: Vec<NewImport>,
        secrets: Option<SecretPolicy>,
    ) -> Result<Vec<Imported>, Error> {
        let wanted: Vec<Option<MemoryId>> = batch.iter().map(|new| new.id).collect();
        let SortedOut {
            mut answers,
            new,
            repeated,
        } = self.sorted_out(batch, secrets)?;
        // Otherwise they would come back when those memories are hidden.
        self.store.note_known(&repeated)?;
        let (places, new): (Vec<usize>, Vec<Arrival>) = new.into_iter().unzip();
        let texts: Vec<&str> = new.iter().map(|it| it.memory.content.as_str()).collect();
        let passages = self.passages(&texts)?;
        let records: Vec<_> = new.into_iter().zip(passages).collect();
        for (place, answer) in places.into_iter().zip(self.store.import(&records)?) {
            answers[place] = Some(match (answer, wanted[place]) {
                (Imported::Stored(id), Some(wanted)) if id != wanted => Imported::Renumbered(id),
                (answer, _) => answer,
            });
        }
        self.settled(answers)
    }

    /// What [`Self::import`] would answer for these, without storing anything: a memory that would be stored has the
    /// id that it would have, unless another gets it first. That one repeats another of the batch is
    /// not seen: [`Foretold`] sees that.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn look_at_import(
        &self,
        batch: Vec<NewImport>,
        secrets: Option<SecretPolicy>,
    ) -> Result<Vec<Imported>, Error> {
        let SortedOut {
            mut answers, new, ..
        } = self.sorted_out(batch, secrets)?;
        for (place, arrival) in new {
            answers[place] = Some(Imported::Stored(arrival.memory.id));
        }
        self.settled(answers)
    }

    /// The answers of a whole batch: which of the known memories are still shown is looked up.
    fn settled(&self, answers: Vec<Option<Imported>>) -> Result<Vec<Imported>, Error> {
        let answers = answers.into_iter().map(|it| it.unwrap_or_else(lost));
        let mut answers: Vec<Imported> = answers.collect();
        let known = |answer: &Imported| match answer {
            Imported::Known(id) => Some(*id),
            _ => None,
        };
        let ids: Vec<MemoryId> = answers.iter().filter_map(known).collect();
        let shown = self.store.get(&ids)?;
        let of_known = answers.iter_mut().filter(|it| known(it).is_some());
        for (answer, (id, shown)) in of_known.zip(ids.iter().zip(shown)) {
            if shown.is_none() {
                *answer = Imported::Hidden(*id);
            }
        }
        Ok(answers)
    }

    /// Answers for those that are refused or known, and the others with their places.
    fn sorted_out(
        &self,
        batch: Vec<NewImport>,
        secrets: Option<SecretPolicy>,
    ) -> Result<SortedOut, Error> {
        let secrets = secrets.unwrap_or(self.rules.secrets);
        let mut answers: Vec<Option<Imported>> = vec![None; batch.len()];
        let mut arrivals = Vec::with_capacity(batch.len());
        for (place, new) in batch.into_iter().enumerate() {
            match self.arrival(new, secrets) {
                Ok(arrival) => arrivals.push((place, arrival)),
                Err(error) => answers[place] = Some(Imported::Refused(error.to_string())),
            }
        }
        let (places, all): (Vec<usize>, Vec<Arrival>) = arrivals.into_iter().unzip();
        let known = self.store.known(&all)?;
        let (mut new, mut repeated) = (Vec::with_capacity(all.len()), Vec::new());
        for ((place, arrival), known) in places.into_iter().zip(all).zip(known) {
            match known {
                Some(id) => {
                    answers[place] = Some(Imported::Known(id));
                    // One that keeps its id is recognised by that.
                    repeated.extend((!arrival.keeps_id).then_some((arrival.key, id)));
                }
                None => new.push((place, arrival)),
            }
        }
        Ok(SortedOut {
            answers,
            new,
            repeated,
        })
    }

    /// A memory from elsewhere as it may be kept.
    fn arrival(&self, new: NewImport, secrets: SecretPolicy) -> Result<Arrival, InputError> {
        let key = new.key();
        let new = new.screened(secrets)?;
        let now = self.clock.now();
        // Larger than every id that was ever given: what is smaller can never be given to another memory later.
        let spare = self.ids.next_id(now);
        let original = new.id;
        let id = original.filter(|id| *id < spare);
        let of_time = new
            .stored_at
            .and_then(|at| u64::try_from(at.as_micros()).ok())
            .filter(|us| *us > 0 && us.saturating_add(NEIGHBOURS) < spare.digits())
            .and_then(MemoryId::new);
        let memory = Memory {
            id: id.or(of_time).unwrap_or(spare),
            space: new.space,
            content: new.content,
            tags: new.tags,
            stored_at: new.stored_at.unwrap_or(now),
            origin: new.origin,
            source: new.source,
            quarantined: false,
            metadata: new.metadata,
        };
        Ok(Arrival {
            memory,
            key,
            keeps_id: id.is_some(),
            spare,
            original,
        })
    }
}
