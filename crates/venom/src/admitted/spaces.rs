//! Spaces as such, as one caller may use them.

use super::Admitted;
use crate::failure::Failure;
use venom_access::{Event, Spaces};
use venom_core::{Error, ErrorKind, Move, Moved, SpaceInfo, SpaceName, Within, counted};

impl Admitted<'_> {
    /// The spaces that the caller may touch, by name.
    pub(crate) async fn spaces(&self) -> Result<Vec<SpaceInfo>, Failure> {
        let mut spaces = self.hub.spaces().await?;
        spaces.retain(|space| self.caller.rights.reach(&space.name));
        Ok(spaces)
    }

    /// Makes a space; `false` if it was there.
    pub(crate) async fn create_space(&self, space: SpaceName) -> Result<bool, Failure> {
        self.may_manage()?;
        let is_new = self.hub.create_space(space.clone()).await?;
        if is_new {
            self.note_space(Event::SpaceCreated, shown(&space));
        }
        Ok(is_new)
    }

    /// Gives a space another name, and those the right to it that are bound to the old one. May be repeated: what a
    /// process that was killed left half done is finished then.
    pub(crate) async fn rename_space(&self, from: SpaceName, to: SpaceName) -> Result<(), Failure> {
        self.may_manage()?;
        self.hub.rename_space(from.clone(), to.clone()).await?;
        tracing::debug!("the space has its new name");
        let names = (from.clone(), to.clone());
        let follow = move |access: &venom_access::Access| access.follow_rename(&names.0, &names.1);
        self.file.ask(follow).await.map_err(|failure| {
            Failure::new(
                failure.kind,
                format!(
                    "the space is {} now, but what is bound to its old name does not reach it yet: {failure}; do the \
                     same again to finish it",
                    shown(&to)
                ),
            )
        })?;
        tracing::debug!("what is bound to the space follows");
        let subject = format!("{} to {}", shown(&from), shown(&to));
        self.note_space(Event::SpaceRenamed, subject);
        Ok(())
    }

    /// Moves memories in one transaction; one answer for each.
    pub(crate) async fn move_memories(&self, mut what: Move) -> Result<Vec<Moved>, Failure> {
        self.may_write()?;
        self.may_touch(&what.to)?;
        what.within = self.within();
        let ids = what.ids().to_vec();
        let to = shown(&what.to);
        let answers = self.hub.move_memories(what).await?;
        tracing::debug!("moved up to {}", counted::memories(ids.len()));
        let moved = ids.iter().zip(&answers);
        let moved: Vec<_> = moved
            .filter(|(_, answer)| **answer == Moved::Moved)
            .collect();
        match moved.as_slice() {
            [] => {}
            [(id, _)] => self.note_space(Event::Moved, format!("{id} to {to}")),
            many => self.note_space(
                Event::Moved,
                format!("{} to {to}", counted::memories(many.len())),
            ),
        }
        Ok(answers)
    }

    /// Hides all memories of a space and deletes it: how many that were. Killed in between it left the rest, and may be
    /// repeated.
    pub(crate) async fn delete_space(&self, space: SpaceName) -> Result<u64, Failure> {
        self.may_manage()?;
        if !self.spaces().await?.iter().any(|it| it.name == space) {
            return Err(Error::SpaceNotFound(space).into());
        }
        let mut forgotten = 0;
        let outcome = loop {
            match self.hub.empty_space(space.clone()).await {
                Ok(step) => {
                    forgotten += step.forgotten;
                    tracing::debug!("hid {} of the space", counted::memories(forgotten));
                    if step.deleted {
                        break Ok(forgotten);
                    }
                }
                Err(failure) => break Err(failure),
            }
        };
        // What was hidden before a failure is told, too.
        if outcome.is_ok() || forgotten > 0 {
            let subject = format!("{}: {}", shown(&space), counted::memories(forgotten));
            self.note_space(Event::SpaceDeleted, subject);
        }
        outcome
    }

    /// The spaces in which the caller may change memories.
    pub(super) fn within(&self) -> Within {
        match &self.caller.rights.spaces {
            Spaces::All => Within::Everywhere,
            Spaces::Only(spaces) => Within::Spaces(spaces.clone()),
        }
    }

    fn note_space(&self, event: Event, subject: String) {
        self.file.note(event, self.caller, subject);
    }

    /// Spaces come and go for callers that may write in all of them.
    fn may_manage(&self) -> Result<(), Failure> {
        self.may_write()?;
        if self.caller.rights.spaces == Spaces::All {
            return Ok(());
        }
        Err(Failure::new(
            ErrorKind::Forbidden,
            "spaces cannot be created, renamed or deleted by a caller that is bound to spaces: expected a token or \
             grant for all spaces, or the owner's venom space",
        ))
    }
}

/// A name as the audit log has it.
fn shown(space: &SpaceName) -> String {
    format!("{:?}", space.as_str())
}
