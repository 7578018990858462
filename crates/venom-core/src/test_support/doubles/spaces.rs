//! Spaces of the store over plain maps.

use super::{Kept, Kind, history};
use crate::history::{Cause, Replaced};
use crate::memory::{RequestKey, SpaceName};
use crate::spaces::{Emptied, Move, Moved, Renamed, SpaceInfo};

/// A space that is or was.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// Which it is, whatever its name.
    number: usize,
    deleted: bool,
}

/// What is known of spaces besides their memories.
#[derive(Clone, Debug, Default)]
pub(super) struct Spaces {
    known: std::collections::BTreeMap<SpaceName, Known>,
    count: usize,
    /// Old and new names, each with the space.
    renamed: std::collections::BTreeSet<(SpaceName, SpaceName, usize)>,
}

impl Spaces {
    /// A memory came into a space.
    pub(super) fn touch(&mut self, space: &SpaceName) {
        let number = self.known.get(space).map_or(self.count, |it| it.number);
        self.count += usize::from(number == self.count);
        let known = Known {
            number,
            deleted: false,
        };
        self.known.insert(space.clone(), known);
    }

    /// Those that are there, sorted.
    pub(super) fn there(&self) -> impl Iterator<Item = &SpaceName> {
        let there = self.known.iter().filter(|(_, known)| !known.deleted);
        there.map(|(name, _)| name)
    }

    /// The number of a space that is there.
    fn number(&self, space: &SpaceName) -> Option<usize> {
        let known = self.known.get(space).filter(|known| !known.deleted);
        known.map(|known| known.number)
    }

    fn is_there(&self, space: &SpaceName) -> bool {
        self.number(space).is_some()
    }

    /// Whether a space was renamed from a name.
    pub(super) fn had_name(&self, space: &SpaceName, name: &SpaceName) -> bool {
        let number = self.known.get(space).map(|known| known.number);
        let mut renamed = self.renamed.iter();
        renamed.any(|(from, _, of)| from == name && Some(*of) == number)
    }

    /// Gives a space another name, whatever became of it.
    fn rename(&mut self, from: &SpaceName, to: &SpaceName) {
        if let Some(known) = self.known.remove(from) {
            self.known.insert(to.clone(), known);
        }
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
            let number = self.spaces.number(to);
            let is_done = number.is_some_and(|number| {
                let renamed = (from.clone(), to.clone(), number);
                self.spaces.renamed.contains(&renamed)
            });
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
        if self.spaces.known.contains_key(to) {
            let mut names = to.put_away();
            let free = names.find(|name| !self.spaces.known.contains_key(name));
            if let Some(free) = free {
                self.give_name(to, &free);
            }
        }
        self.give_name(from, to);
        if let Some(number) = self.spaces.number(to) {
            let renamed = (from.clone(), to.clone(), number);
            self.spaces.renamed.insert(renamed);
        }
        Renamed::Done
    }

    fn give_name(&mut self, from: &SpaceName, to: &SpaceName) {
        for entry in self.memories.values_mut() {
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
        self.spaces.rename(from, to);
    }

    pub(super) fn move_memories(&mut self, what: &Move, request: RequestKey) -> Vec<Moved> {
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
                    self.spaces.touch(&what.to);
                    self.changes.insert(change);
                    Moved::Moved
                }
            });
        }
        answers
    }

    pub(super) fn empty_space(&mut self, space: &SpaceName, most: usize) -> Option<Emptied> {
        let deleted = self.spaces.known.get(space)?.deleted;
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
            let known = self.spaces.known.get_mut(space);
            known?.deleted = true;
        }
        Some(Emptied {
            forgotten,
            deleted: deleted || left == 0,
        })
    }
}
