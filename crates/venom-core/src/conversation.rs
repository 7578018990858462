//! A conversation: what was said, in order, to be kept in one go.

use crate::error::InputError;
use crate::limits;
use crate::memory::{Content, SessionName, SpaceName, Speaker, Tags};
use crate::precautions::Precautions;
use crate::secrets::Screen;
use crate::source::Source;
use crate::time::Timestamp;

/// Something that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The words.
    pub content: Content,
    /// Its tags.
    pub tags: Tags,
    /// Who said it.
    pub speaker: Option<Speaker>,
    /// When.
    pub occurred_at: Option<Timestamp>,
}

impl Turn {
    /// The turn as it may be kept.
    ///
    /// # Errors
    /// [`InputError::Secret`] if it must not; [`InputError::TooLong`] if it is too long with the marks.
    pub fn screened(&self, screen: &mut Screen) -> Result<Self, InputError> {
        Ok(Self {
            content: screen.content(self.content.clone())?,
            tags: screen.tags(self.tags.clone())?,
            speaker: screen.speaker(self.speaker.clone())?,
            occurred_at: self.occurred_at,
        })
    }
}

/// A conversation to be remembered. Every turn becomes a memory; what is said twice is kept twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewConversation {
    /// Where it shall live.
    pub space: SpaceName,
    /// Its session; if nobody said, it gets one of its own.
    pub session: Option<SessionName>,
    /// Through whom it comes in.
    pub source: Source,
    /// What the process that was called does about it; the one that keeps it may be stricter.
    pub precautions: Precautions,
    turns: Vec<Turn>,
}

impl NewConversation {
    /// A conversation of 1 to [`limits::TURNS_MAX`] turns, from an unknown source, with no precautions of its own.
    ///
    /// # Errors
    /// [`InputError::OutOfRange`] for none or too many turns, [`InputError::TooLong`] if they are longer
    /// than [`limits::TURNS_BYTES_MAX`] together.
    pub fn new(
        space: SpaceName,
        session: Option<SessionName>,
        turns: Vec<Turn>,
    ) -> Result<Self, InputError> {
        let bytes: usize = turns.iter().map(|turn| turn.content.as_str().len()).sum();
        if turns.is_empty() || turns.len() > limits::TURNS_MAX {
            let signed = |count| i64::try_from(count).unwrap_or(i64::MAX);
            return Err(InputError::OutOfRange {
                field: "the number of turns",
                min: 1,
                max: signed(limits::TURNS_MAX),
                received: signed(turns.len()),
            });
        }
        if bytes > limits::TURNS_BYTES_MAX {
            return Err(InputError::TooLong {
                field: "the conversation",
                bytes,
                bytes_max: limits::TURNS_BYTES_MAX,
            });
        }
        Ok(Self {
            space,
            session,
            source: Source::default(),
            precautions: Precautions::NONE,
            turns,
        })
    }

    /// The same from somewhere.
    #[must_use]
    pub fn from_source(self, source: Source, precautions: Precautions) -> Self {
        Self {
            source,
            precautions,
            ..self
        }
    }

    /// The turns, in order, at least one.
    pub fn turns(&self) -> &[Turn] {
        &self.turns
    }

    /// The turns, given away.
    pub fn into_turns(self) -> Vec<Turn> {
        self.turns
    }
}
