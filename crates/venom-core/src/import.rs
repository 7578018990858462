//! Memories that come from elsewhere: with ids, times and whatever else they had there.

mod foretold;

pub use foretold::Foretold;

use crate::error::InputError;
use crate::limits;
use crate::memory::{Content, Memory, MemoryId, Origin, SessionName, SpaceName, Speaker, Tags};
use crate::secrets::{Screen, SecretPolicy};
use crate::source::Source;
use crate::time::Timestamp;

/// The file in a folder of ChromaDB that holds everything but the vectors' index: the predecessor's, in a data folder.
pub const CHROMA_FILE: &str = "chroma.sqlite3";
/// How the folders begin that hold a copy while something is imported, also in a data folder.
pub const IMPORT_FOLDER_BEGIN: &str = "venom-import-";

/// Ids after the one of its time that a memory without an id may get.
pub const NEIGHBOURS: u64 = 1_000;

/// What else was known of a memory where it comes from: the text of a JSON object, of at most
/// [`limits::METADATA_BYTES_MAX`] bytes. Kept and given back, never searched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Metadata(String);

/// The key of the metadata under which the id stands that a memory had elsewhere, where it could not keep it.
pub const ORIGINAL_ID: &str = "original_id";

/// How metadata begins in the place of what cannot be kept.
const LEFT_OUT: &str = "{\"left_out\":\"";

impl Metadata {
    /// Takes the text of a JSON object. Only its frame is looked at: who reads JSON vouches for what is in it.
    ///
    /// # Errors
    /// [`InputError`] if it is too long or plainly no object.
    pub fn parse(text: &str) -> Result<Self, InputError> {
        let text = text.trim();
        let (bytes, bytes_max) = (text.len(), limits::METADATA_BYTES_MAX);
        if bytes > bytes_max {
            return Err(InputError::TooLong {
                field: "metadata",
                bytes,
                bytes_max,
            });
        }
        let is_object = text.starts_with('{') && text.ends_with('}') && bytes >= 2;
        if !is_object || text.contains('\0') {
            return Err(InputError::malformed("metadata", "a JSON object", text));
        }
        Ok(Self(text.to_owned()))
    }

    /// What is kept of so many bytes of metadata that cannot be kept, `why`: a few words without quotes.
    pub fn left_out(bytes: usize, why: &str) -> Self {
        Self(format!("{LEFT_OUT}{bytes} bytes of metadata{why}\"}}"))
    }

    /// Whether it is that.
    pub fn is_left_out(&self) -> bool {
        self.0.starts_with(LEFT_OUT)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same with the id that a memory had elsewhere; unchanged if there is no room for it.
    fn with_original(self, id: MemoryId) -> Self {
        let rest = self.0.strip_prefix('{').unwrap_or_default().trim_start();
        let comma = if rest == "}" { "" } else { "," };
        let mut key = ORIGINAL_ID.to_owned();
        // Whatever else is called so stays apart.
        while rest.contains(&format!("\"{key}\"")) {
            key.push('_');
        }
        Self::parse(&format!("{{\"{key}\":\"{id}\"{comma}{rest}")).unwrap_or(self)
    }
}

/// A memory as it was elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewImport {
    /// The id that it shall keep. Without one it gets one of its time.
    pub id: Option<MemoryId>,
    /// Where it shall live.
    pub space: SpaceName,
    /// The text.
    pub content: Content,
    /// Its tags.
    pub tags: Tags,
    /// Who said it, in which conversation, and when.
    pub origin: Origin,
    /// When it was stored there; the time of the import if that is not known.
    pub stored_at: Option<Timestamp>,
    /// Whether that is only a guess, such as the time of a file, which changes with each copy: it is not recognised by it.
    /// Not kept.
    pub is_time_guessed: bool,
    /// Through whom it came in there.
    pub source: Source,
    /// What else was known of it.
    pub metadata: Option<Metadata>,
    /// Of a turn, which of which conversation it is there: it is recognised by this and not by its session, whose name
    /// may change. Not kept.
    pub turn: Option<String>,
}

impl NewImport {
    /// The same as it may be kept where secrets are treated so.
    ///
    /// # Errors
    /// [`InputError::Secret`] if it must not be kept, [`InputError::SecretName`] if its space must not.
    pub fn screened(self, secrets: SecretPolicy) -> Result<Self, InputError> {
        let mut screen = Screen::new(secrets);
        screen.space(&self.space)?;
        Ok(Self {
            content: screen.content(self.content)?,
            tags: screen.tags(self.tags)?,
            origin: screen.origin(self.origin)?,
            source: screen.source(self.source)?,
            metadata: screen.metadata(self.metadata)?,
            ..self
        })
    }

    /// What it is recognised by when it comes again, whatever became of the memory that was made of it: space, id,
    /// text, times, speaker and session, or the turn that it is. A time that was guessed is as good as none. O(text).
    pub fn key(&self) -> ImportKey {
        let id = self.id.map(|id| id.to_string());
        let time = |time: Option<Timestamp>| time.map(|time| time.as_micros().to_string());
        let stored = time(self.stored_at.filter(|_| !self.is_time_guessed));
        let occurred = time(self.origin.occurred_at);
        let speaker = self.origin.speaker.as_ref().map(Speaker::as_str);
        let session = self.origin.session.as_ref().map(SessionName::as_str);
        let parts = [
            Some(self.space.as_str()),
            id.as_deref(),
            Some(self.content.as_str()),
            stored.as_deref(),
            occurred.as_deref(),
            speaker,
            if self.turn.is_some() { None } else { session },
            self.turn.as_deref(),
        ];
        // Without a turn there is no such part: what was imported before turns were told apart is known still.
        let parts = &parts[..parts.len() - usize::from(self.turn.is_none())];
        // None of the texts has a NUL, so that the parts stay apart.
        let bytes = parts.iter().flat_map(|part| {
            let mark = [u8::from(part.is_some())];
            mark.into_iter()
                .chain(part.unwrap_or_default().bytes())
                .chain([0])
        });
        ImportKey(bytes.fold(FNV_START, |hash, byte| {
            (hash ^ u128::from(byte)).wrapping_mul(FNV_PRIME)
        }))
    }
}

/// FNV-1a, 128 bits (Fowler, Noll, Vo).
const FNV_START: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const FNV_PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

/// Names what was imported; the same in every version and on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImportKey(pub u128);

/// A memory that is about to be imported.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// As it would be kept; its id is the one it shall have.
    pub memory: Memory,
    /// What it is recognised by.
    pub key: ImportKey,
    /// Whether its id is that of a memory elsewhere. Otherwise the id only says its time, and a memory that says the
    /// same is taken for it.
    pub keeps_id: bool,
    /// The id that it gets where the other is taken; never used before.
    pub spare: MemoryId,
    /// The id that it had elsewhere.
    pub original: Option<MemoryId>,
}

impl Arrival {
    /// The memory as it is kept under an id: if that is not the one that it had elsewhere, its metadata tells that one.
    pub fn kept_as(&self, id: MemoryId) -> Memory {
        let mut memory = Memory {
            id,
            ..self.memory.clone()
        };
        if let Some(original) = self.original.filter(|original| *original != id) {
            let metadata = memory.metadata.take();
            let metadata = metadata.unwrap_or_else(|| Metadata("{}".to_owned()));
            memory.metadata = Some(metadata.with_original(original));
        }
        memory
    }
}

/// What became of a memory from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Imported {
    /// It is new, and durable.
    Stored(MemoryId),
    /// It is new, and durable, but another memory has its id: this is the one it got.
    Renumbered(MemoryId),
    /// It is kept already, as this memory, perhaps changed since; nothing was changed. A store does not tell it from
    /// [`Self::Hidden`].
    Known(MemoryId),
    /// It was kept as this memory, which is not shown any more: forgotten, discarded, in quarantine, or erased for good.
    /// Nothing was changed.
    Hidden(MemoryId),
    /// It cannot be kept: why.
    Refused(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{ClientName, TokenName};

    fn import(text: &str) -> NewImport {
        NewImport {
            id: MemoryId::new(7),
            space: SpaceName::parse("default").expect("a name"),
            content: Content::parse(text).expect("a text"),
            tags: Tags::default(),
            origin: Origin::default(),
            stored_at: None,
            is_time_guessed: false,
            source: Source::default(),
            metadata: None,
            turn: None,
        }
    }

    #[test]
    fn keys_tell_what_matters_and_stay_the_same() {
        let first = import("one");
        assert_eq!(first.key(), import("one").key());
        assert_eq!(first.key().0, 0xa242_1f25_6642_39e9_e519_996d_4df0_8f4a);
        let at = Some(Timestamp::from_micros(0));
        let stored = NewImport {
            stored_at: at,
            ..first.clone()
        };
        let guessed = NewImport {
            is_time_guessed: true,
            ..stored.clone()
        };
        assert_eq!(guessed.key(), first.key());
        let occurred = Origin {
            occurred_at: at,
            ..Origin::default()
        };
        let happened = NewImport {
            origin: occurred,
            ..first.clone()
        };
        let without_id = NewImport {
            id: None,
            ..first.clone()
        };
        let in_session = |name: &str, turn: Option<&str>| {
            let session = SessionName::parse(name).ok();
            let origin = Origin {
                session,
                ..Origin::default()
            };
            let turn = turn.map(str::to_owned);
            NewImport {
                origin,
                turn,
                ..first.clone()
            }
        };
        let turn = in_session("a", Some("c/1"));
        assert_eq!(turn.key(), in_session("b", Some("c/1")).key());
        let (other, in_a) = (in_session("a", Some("c/2")), in_session("a", None));
        let keys = [
            import("two"),
            stored,
            happened,
            without_id,
            turn,
            other,
            in_a,
        ];
        let keys = keys.map(|other| other.key());
        for (place, key) in keys.iter().enumerate() {
            assert!(*key != first.key() && !keys[..place].contains(key));
        }
    }

    #[test]
    fn client_token_and_space_are_screened_too() {
        let key = ["AKIA", "IOSFODNN7EXAMPLE"].concat();
        let source = Source {
            client: ClientName::told(&key),
            token: TokenName::told("laptop"),
        };
        let of_client = NewImport {
            source,
            ..import("one")
        };
        let refused = of_client.clone().screened(SecretPolicy::Refuse);
        let error = refused.expect_err("the client is a key").to_string();
        let expected = "client holds an AWS access key at character 1: expected";
        assert!(error.starts_with(expected), "{error}");
        let masked = of_client
            .screened(SecretPolicy::Mask)
            .expect("it is masked");
        let client = masked.source.client.as_ref().map(ClientName::as_str);
        assert_eq!(client, Some("[AWS access key removed]"));
        assert_eq!(masked.source.token, TokenName::told("laptop"));
        let of_space = NewImport {
            space: SpaceName::parse(&key).expect("a name"),
            ..import("one")
        };
        for policy in [SecretPolicy::Refuse, SecretPolicy::Mask] {
            let error = of_space.clone().screened(policy).expect_err("a key");
            let expected = "space holds an AWS access key, which cannot be masked there: expected a name without \
                            secrets";
            assert_eq!(error.to_string(), expected);
        }
        let kept = of_space.clone().screened(SecretPolicy::Keep);
        assert_eq!(kept, Ok(of_space));
    }

    #[test]
    fn metadata_tells_the_id_of_elsewhere() {
        let id = MemoryId::new(5).expect("an id");
        for (before, after) in [
            ("{}", r#"{"original_id":"mem_5"}"#),
            ("{ }", r#"{"original_id":"mem_5"}"#),
            (r#"{"a":1}"#, r#"{"original_id":"mem_5","a":1}"#),
            (
                r#"{"original_id":1}"#,
                r#"{"original_id_":"mem_5","original_id":1}"#,
            ),
        ] {
            let metadata = Metadata::parse(before).expect("an object");
            assert_eq!(metadata.with_original(id).as_str(), after);
        }
        let full = format!(
            "{{\"a\":\"{}\"}}",
            "x".repeat(limits::METADATA_BYTES_MAX - 8)
        );
        let metadata = Metadata::parse(&full).expect("it fits");
        assert_eq!(metadata.with_original(id).as_str(), full);
    }

    #[test]
    fn metadata_is_an_object() {
        assert_eq!(Metadata::parse(" {} ").map(|it| it.0), Ok("{}".to_owned()));
        for bad in ["", "{", "[]", "7", "{\0}"] {
            assert!(Metadata::parse(bad).is_err(), "{bad:?}");
        }
        let long = format!("{{{}}}", " ".repeat(limits::METADATA_BYTES_MAX));
        assert!(matches!(
            Metadata::parse(&long),
            Err(InputError::TooLong { .. })
        ));
    }
}
