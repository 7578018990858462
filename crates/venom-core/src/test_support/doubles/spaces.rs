//! Spaces of the store over plain maps.

use super::{Kept, Kind, history};
use crate::history::{Cause, Replaced};
use crate::memory::{RequestKey, SpaceName};
use crate::spaces::{Emptied, Move, Moved, Renamed, SpaceInfo};

/// What is known of spaces besides their memories.
#[derive(Clone, Debug, Default)]
pub(super) struct Spaces {
    /// Each that ever was, and whether it was deleted.
    deleted: std::collections::BTreeMap<SpaceName, bool>,
    /// Old and new names.
    renamed: std::collections::BTreeSet<(SpaceName, SpaceName)>,
}

impl Spaces {
    /// A memory came into a space.
    pub(super) fn touch(&mut self, space: &SpaceName) {
        self.deleted.insert(space.clone(), false);
    }

    /// Those that are there, sorted.
    pub(super) fn there(&self) -> impl Iterator<Item = &SpaceName> {
        let there = self.deleted.iter().filter(|(_, deleted)| !**deleted);
        there.map(|(name, _)| name)
    }

    fn is_there(&self, space: &SpaceName) -> bool {
        self.deleted.get(space) == Some(&false)
    }
}

impl Kept {
    fn has_any_in(&self, space: &SpaceName) -> bool {
        self.memories
            .values()
            .any(|entry| entry.memory.space == *space)
    }

    pub(super) fn space_infos(&self) -> Vec<SpaceInfo> {
        let info = |name: &SpaceName| {
            let of_space = self.memories.values();
            let of_space = of_space.filter(|entry| entry.memory.space == *name);
            let (shown, hidden): (Vec<_>, Vec<_>) = of_space.partition(|entry| entry.is_visible());
            SpaceInfo {
                name: name.clone(),
                memories: super::count(shown.len()),
                hidden: super::count(hidden.len()),
                newest: shown.last().map(|entry| entry.memory.stored_at),
            }
        };
        self.spaces.there().map(info).collect()
    }

    pub(super) fn create_space(&mut self, space: &SpaceName) -> bool {
        let is_new = !self.spaces.is_there(space);
        self.spaces.touch(space);
        is_new
    }

    pub(super) fn rename_space(&mut self, from: &SpaceName, to: &SpaceName) -> Renamed {
        if !self.spaces.is_there(from) {
            let names = (from.clone(), to.clone());
            let is_done = self.spaces.is_there(to) && self.spaces.renamed.contains(&names);
            return if is_done {
                Renamed::Done
            } else {
                Renamed::Missing
            };
        }
        if from == to {
            return Renamed::Done;
        }
        if self.spaces.is_there(to) || self.has_any_in(to) {
            return Renamed::Taken;
        }
        let of_space = self.memories.values_mut();
        for entry in of_space {
            let former = entry.versions.iter_mut().map(|version| &mut version.space);
            let named = former.chain([&mut entry.memory.space]);
            named
                .filter(|space| **space == *from)
                .for_each(|space| *space = to.clone());
        }
        let erased = self.erased.values_mut();
        for erased in erased.filter(|erased| erased.space == *from) {
            erased.space = to.clone();
        }
        self.spaces.deleted.remove(from);
        self.spaces.touch(to);
        self.spaces.renamed.insert((from.clone(), to.clone()));
        Renamed::Done
    }

    pub(super) fn move_memories(&mut self, what: &Move, request: RequestKey) -> Vec<Moved> {
        self.spaces.touch(&what.to);
        let mut answers = Vec::new();
        for id in what.ids() {
            let change = (Kind::Update, request.0, *id);
            let entry = self.memories.get_mut(id);
            let entry = entry.filter(|it| it.is_visible() && what.within.has(&it.memory.space));
            answers.push(match entry {
                None => Moved::NotFound,
                Some(_) if self.changes.contains(&change) => Moved::Moved,
                Some(entry) if entry.memory.space == what.to => Moved::Already,
                Some(entry) => {
                    entry.keep_version(Replaced {
                        at: history::now(),
                        cause: Cause::Moved,
                        by: what.source.clone(),
                    });
                    entry.memory.space = what.to.clone();
                    self.changes.insert(change);
                    Moved::Moved
                }
            });
        }
        answers
    }

    pub(super) fn empty_space(&mut self, space: &SpaceName, most: usize) -> Option<Emptied> {
        let deleted = *self.spaces.deleted.get(space)?;
        let of_space = self.memories.values_mut();
        let mut shown: Vec<_> = of_space
            .filter(|entry| entry.memory.space == *space && entry.is_visible())
            .collect();
        let left = shown.len().saturating_sub(most);
        shown.truncate(most);
        let forgotten = super::count(shown.len());
        for entry in shown {
            entry.forgotten = true;
            entry.hidden_at = Some(history::now());
        }
        if left == 0 {
            self.spaces.deleted.insert(space.clone(), true);
        }
        Some(Emptied {
            forgotten,
            deleted: deleted || left == 0,
        })
    }
}
