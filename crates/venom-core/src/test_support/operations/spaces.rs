//! Operations on spaces as such.

use super::{Run, SPACES};
use crate::memory::RequestKey;
use crate::source::Source;
use crate::spaces::{Move, Within};
use crate::test_support::samples;

/// Names that spaces get, besides those that memories are stored in.
const NAMES: [&str; 4] = ["default", "work", "été", "renamed"];

impl Run {
    pub(super) fn change_spaces(&mut self) {
        match self.rng.below(6) {
            0 => {
                let space = samples::space(self.rng.pick(&NAMES));
                self.same("create a space", |store| store.create_space(&space));
            }
            1 => {
                let (from, to) = (self.rng.pick(&NAMES), self.rng.pick(&NAMES));
                let (from, to) = (samples::space(from), samples::space(to));
                self.same("rename a space", |store| store.rename_space(&from, &to));
            }
            2 => {
                let (space, most) = (samples::space(self.rng.pick(&NAMES)), self.rng.below(40));
                self.same("empty a space", |store| store.empty_space(&space, most));
            }
            _ => {
                let (ids, to) = (self.some_ids(), samples::space(self.rng.pick(&NAMES)));
                let mut what = Move::new(ids, to, Source::default()).expect("they are few");
                what.within = self.within();
                let key = RequestKey(u128::from(self.rng.bits() % 20));
                self.same("move", |store| store.move_memories(&what, key));
            }
        }
        self.same("spaces", |store| store.spaces());
    }

    /// Mostly everywhere.
    pub(super) fn within(&mut self) -> Within {
        match self.rng.below(4) {
            0 => Within::Spaces(vec![samples::space(self.rng.pick(&SPACES))]),
            _ => Within::Everywhere,
        }
    }
}
