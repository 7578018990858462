//! Memories from elsewhere, on the socket.

use super::{WireOrigin, WireSource, parsed, texts};
use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use venom_core::{Content, Imported, MemoryId, Metadata, NewImport, SpaceName, Tags, Timestamp};

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireImport {
    memory_id: Option<String>,
    space: String,
    content: String,
    tags: Vec<String>,
    origin: WireOrigin,
    stored_at_us: Option<i64>,
    is_time_guessed: bool,
    source: WireSource,
    metadata: Option<String>,
    turn: Option<String>,
}

impl From<NewImport> for WireImport {
    fn from(new: NewImport) -> Self {
        Self {
            memory_id: new.id.map(|id| id.to_string()),
            space: new.space.as_str().to_owned(),
            content: new.content.as_str().to_owned(),
            tags: texts(new.tags.as_slice()),
            origin: new.origin.into(),
            stored_at_us: new.stored_at.map(Timestamp::as_micros),
            is_time_guessed: new.is_time_guessed,
            source: new.source.into(),
            metadata: new.metadata.map(|it| it.as_str().to_owned()),
            turn: new.turn,
        }
    }
}

impl WireImport {
    fn parse(self) -> Result<NewImport, Failure> {
        Ok(NewImport {
            id: parsed(self.memory_id.as_deref(), MemoryId::parse)?,
            space: SpaceName::parse(&self.space)?,
            content: Content::parse(&self.content)?,
            tags: Tags::parse(&self.tags)?,
            origin: self.origin.parse()?,
            stored_at: self.stored_at_us.map(Timestamp::from_micros),
            is_time_guessed: self.is_time_guessed,
            source: self.source.parse()?,
            metadata: parsed(self.metadata.as_deref(), Metadata::parse)?,
            turn: self.turn,
        })
    }
}

/// A whole batch.
pub(super) fn parsed_all(batch: Vec<WireImport>) -> Result<Vec<NewImport>, Failure> {
    batch.into_iter().map(WireImport::parse).collect()
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WireImported {
    Stored(String),
    Renumbered(String),
    Known(String),
    Hidden(String),
    Refused(String),
}

impl From<Imported> for WireImported {
    fn from(imported: Imported) -> Self {
        match imported {
            Imported::Stored(id) => Self::Stored(id.to_string()),
            Imported::Renumbered(id) => Self::Renumbered(id.to_string()),
            Imported::Known(id) => Self::Known(id.to_string()),
            Imported::Hidden(id) => Self::Hidden(id.to_string()),
            Imported::Refused(why) => Self::Refused(why),
        }
    }
}

impl WireImported {
    pub(super) fn parse(self) -> Result<Imported, Failure> {
        Ok(match self {
            Self::Stored(id) => Imported::Stored(MemoryId::parse(&id)?),
            Self::Renumbered(id) => Imported::Renumbered(MemoryId::parse(&id)?),
            Self::Known(id) => Imported::Known(MemoryId::parse(&id)?),
            Self::Hidden(id) => Imported::Hidden(MemoryId::parse(&id)?),
            Self::Refused(why) => Imported::Refused(why),
        })
    }
}
