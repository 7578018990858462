//! `manifest.json`: what a backup is, in words that people and programs read. `docs/file-format.md` has the form.

use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use venom_core::{ModelStamp, Timestamp};
use venom_store::DatabaseFacts;

/// Its name in the folder of a backup.
pub(super) const FILE_NAME: &str = "manifest.json";
/// Longest manifest, in bytes; ours have about 700.
pub(super) const BYTES_MAX: usize = 64 * 1024;
/// The copy of the memories.
pub(super) const MEMORIES: &str = "venom.db";
/// The copy of who may come in.
pub(super) const ACCESS: &str = "access.db";
/// The personas that somebody wrote.
pub(super) const PERSONAS: &str = "personas.zip";
/// All that a backup can hold.
pub(super) const HELD: [&str; 3] = [MEMORIES, ACCESS, PERSONAS];
/// What is appended to the name of an encrypted file.
pub(super) const SEALED: &str = ".age";

/// What `format` says.
const FORMAT: &str = "venom backup";
/// The version of the form that this program writes, and the only one there is.
const VERSION: u32 = 1;

/// What a backup is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// When its copy was begun.
    pub(crate) made_at: Timestamp,
    /// The version of the Venom that made it.
    pub(crate) made_by: String,
    /// What the copy of the memories holds.
    pub(crate) facts: DatabaseFacts,
    /// Whether its files are encrypted.
    pub(crate) encrypted: bool,
    /// Its files.
    pub(crate) files: Vec<StoredFile>,
}

/// A file of a backup, as it lies there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredFile {
    /// What it holds, as its name without encryption: one of [`HELD`].
    pub(crate) holds: &'static str,
    /// Its length.
    pub(crate) bytes: u64,
    /// The SHA-256 of its bytes, in 64 hex digits of lower case.
    pub(crate) sha256: String,
}

impl Manifest {
    /// The name of one of its files.
    pub(super) fn name_of(&self, holds: &str) -> String {
        let end = if self.encrypted { SEALED } else { "" };
        format!("{holds}{end}")
    }

    /// Length of all files.
    pub(crate) fn bytes(&self) -> u64 {
        total(self.files.iter())
    }

    /// As JSON for people, with a line feed at the end.
    pub(super) fn to_json(&self) -> String {
        let wire = Wire {
            format: FORMAT.to_owned(),
            version: VERSION,
            made_at: self.made_at.to_string(),
            made_by: self.made_by.clone(),
            schema: self.facts.schema,
            model: self.facts.model.clone().map(|model| WireModel {
                name: model.name,
                sha256: model.sha256,
                dimensions: model.dimensions,
            }),
            memories: self.facts.memories,
            hidden: self.facts.hidden,
            spaces: self.facts.spaces,
            encrypted: self.encrypted,
            files: self
                .files
                .iter()
                .map(|file| WireFile {
                    name: self.name_of(file.holds),
                    bytes: file.bytes,
                    sha256: file.sha256.clone(),
                })
                .collect(),
        };
        let json = serde_json::to_string_pretty(&wire);
        json.expect("it has no maps with keys that are no text") + "\n"
    }

    /// Reads one. Nothing in it is trusted: names are those of [`HELD`] and no others, each at most once.
    ///
    /// # Errors
    /// Why it is none, in half a sentence.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > BYTES_MAX {
            return Err(format!("expected at most {BYTES_MAX} bytes, received more"));
        }
        let head: Head = serde_json::from_slice(bytes)
            .map_err(|error| format!("expected the JSON of a backup's manifest: {error}"))?;
        if head.format != FORMAT {
            let shown: String = head.format.chars().take(40).collect();
            return Err(format!("expected the format {FORMAT:?}, found {shown:?}"));
        }
        if head.version != u64::from(VERSION) {
            let found = head.version;
            return Err(format!(
                "expected version {VERSION} of the format, found {found}: a newer Venom may know it"
            ));
        }
        let wire: Wire = serde_json::from_slice(bytes)
            .map_err(|error| format!("expected the JSON of a backup's manifest: {error}"))?;
        wire.parse()
    }
}

/// Length of files, which may be said to be anything.
pub(super) fn total<'a>(files: impl Iterator<Item = &'a StoredFile>) -> u64 {
    files.fold(0, |sum: u64, file| sum.saturating_add(file.bytes))
}

/// As much as every version of the form has.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    format: String,
    version: u32,
    made_at: String,
    made_by: String,
    schema: i64,
    model: Option<WireModel>,
    memories: u64,
    hidden: u64,
    spaces: u64,
    encrypted: bool,
    files: Vec<WireFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireModel {
    name: String,
    sha256: String,
    dimensions: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireFile {
    name: String,
    bytes: u64,
    sha256: String,
}

impl Wire {
    fn parse(self) -> Result<Manifest, String> {
        let made_at = Timestamp::parse(&self.made_at)
            .ok_or("expected a time such as 2026-03-01T08:30:00Z in made_at, found another text")?;
        let mut files: Vec<StoredFile> = Vec::new();
        for file in self.files {
            let file = file.parse(self.encrypted)?;
            if files.iter().any(|other| other.holds == file.holds) {
                return Err(format!("it names a copy of {} twice", file.holds));
            }
            files.push(file);
        }
        if files.iter().all(|file| file.holds != MEMORIES) {
            return Err(format!("it names no copy of {MEMORIES}"));
        }
        let model = self.model.map(|model| ModelStamp {
            name: model.name,
            sha256: model.sha256,
            dimensions: model.dimensions,
        });
        Ok(Manifest {
            made_at,
            made_by: self.made_by,
            facts: DatabaseFacts {
                schema: self.schema,
                model,
                memories: self.memories,
                hidden: self.hidden,
                spaces: self.spaces,
            },
            encrypted: self.encrypted,
            files,
        })
    }
}

impl WireFile {
    fn parse(self, encrypted: bool) -> Result<StoredFile, String> {
        let end = if encrypted { SEALED } else { "" };
        let mut known = HELD.into_iter();
        let Some(holds) = known.find(|holds| format!("{holds}{end}") == self.name) else {
            let shown: String = self.name.chars().take(40).collect();
            return Err(format!(
                "expected files named {MEMORIES}{end}, {ACCESS}{end} and {PERSONAS}{end}, found {shown:?}"
            ));
        };
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if self.sha256.len() != 64 || !self.sha256.bytes().all(is_digit) {
            return Err(format!(
                "expected 64 hex digits as the sha256 of {holds}{end}, found another text"
            ));
        }
        Ok(StoredFile {
            holds,
            bytes: self.bytes,
            sha256: self.sha256,
        })
    }
}

/// Bytes in hex digits of lower case.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use venom_fuzz::Target;

    pub(in crate::backup) fn manifest(encrypted: bool) -> Manifest {
        let file = |holds, bytes| StoredFile {
            holds,
            bytes,
            sha256: "0123456789abcdef".repeat(4),
        };
        Manifest {
            made_at: Timestamp::from_micros(1_795_000_000_123_456),
            made_by: "0.1.0".to_owned(),
            facts: DatabaseFacts {
                schema: 7,
                model: Some(ModelStamp {
                    name: "all-MiniLM-L6-v2".to_owned(),
                    sha256: "53aa".to_owned(),
                    dimensions: 384,
                }),
                memories: 12,
                hidden: 3,
                spaces: 2,
            },
            encrypted,
            files: vec![file(MEMORIES, 4096), file(ACCESS, 77), file(PERSONAS, 9)],
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for encrypted in [false, true] {
            let written = manifest(encrypted);
            let json = written.to_json();
            assert_eq!(Manifest::parse(json.as_bytes()).unwrap(), written);
            assert_eq!(json.contains("\"venom.db.age\""), encrypted);
            assert_eq!(written.bytes(), 4096 + 77 + 9);
        }
        // As it was before there were personas in backups.
        let mut without = manifest(false);
        without.files.pop();
        let parsed = Manifest::parse(without.to_json().as_bytes());
        assert_eq!(parsed.unwrap(), without);
    }

    #[track_caller]
    fn check(from: &str, to: &str, expected: &str) {
        let json = manifest(false).to_json();
        assert!(json.contains(from), "{from} in {json}");
        let changed = json.replacen(from, to, 1);
        let refused = Manifest::parse(changed.as_bytes()).unwrap_err();
        assert!(refused.contains(expected), "{refused}");
        assert_eq!(refused.lines().count(), 1, "{refused}");
    }

    #[test]
    fn a_manifest_that_is_none_is_refused_in_a_sentence() {
        check("venom backup", "tar", "found \"tar\"");
        check("\"version\": 1", "\"version\": 2", "a newer Venom");
        check("\"version\": 1", "\"version\": -1", "expected the JSON");
        check("\"venom.db\"", "\"../venom.db\"", "found \"../venom.db\"");
        check("\"venom.db\"", "\"/etc/passwd\"", "found \"/etc/passwd\"");
        check("\"venom.db\"", "\"venom.db.age\"", "found \"venom.db.age\"");
        check(
            "\"venom.db\"",
            "\"access.db\"",
            "names a copy of access.db twice",
        );
        check(
            "\"access.db\"",
            "\"venom.db\"",
            "names a copy of venom.db twice",
        );
        check(
            "\"personas.zip\"",
            "\"personas.zip.age\"",
            "found \"personas.zip.age\"",
        );
        check("\"0123", "\"0123ABCD", "64 hex digits");
        check("\"0123", "\"ABCD", "64 hex digits");
        check("2026-", "soon ", "in made_at");
        check("\"memories\": 12", "\"memories\": -12", "expected the JSON");
        check("\"memories\": 12", "\"other\": 12", "unknown field");
        check(
            "\"encrypted\": false",
            "\"encrypted\": true",
            "found \"venom.db\"",
        );
        check("\"hidden\": 3", "\"memories\": 3", "duplicate field");
        for (bytes, expected) in [
            (&b""[..], "expected the JSON"),
            (b"[]", "expected the JSON"),
            (&vec![b' '; BYTES_MAX + 1], "expected at most"),
        ] {
            let refused = Manifest::parse(bytes).unwrap_err();
            assert!(refused.contains(expected), "{refused}");
        }
        let mut alone = manifest(false);
        alone.files.remove(0);
        let refused = Manifest::parse(alone.to_json().as_bytes()).unwrap_err();
        assert_eq!(refused, "it names no copy of venom.db");
    }

    #[test]
    fn fuzz_manifests() {
        let words = [
            "\"name\":",
            "\"venom.db\"",
            "\"access.db.age\"",
            "\"personas.zip\"",
            "\"../x\"",
            "\"files\":",
            "true",
            "null",
            "1e9",
            "-1",
            "{",
            "}",
            "[",
            "]",
            ",",
        ];
        let target = Target::new("manifests").words(&words);
        let target = target.seed(manifest(false).to_json());
        target.seed(manifest(true).to_json()).run(|bytes| {
            let found = Manifest::parse(bytes)?;
            assert!((1..=HELD.len()).contains(&found.files.len()));
            for file in &found.files {
                let name = found.name_of(file.holds);
                assert!(!name.contains(['/', '\\']) && !name.starts_with('.'));
                assert_eq!(file.sha256.len(), 64);
            }
            let again = Manifest::parse(found.to_json().as_bytes());
            assert_eq!(again.as_ref(), Ok(&found), "what was taken is taken again");
            Ok::<_, String>((
                found.encrypted,
                found.files.len(),
                found.facts.model.is_some(),
            ))
        });
    }
}
