//! Personas: markdown that tells an assistant who it is. Names map to file names by one rule.

use crate::error::InputError;

/// The name of a persona: letters, digits, `-` and `_`, so that it can never leave its folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersonaName(String);

impl PersonaName {
    /// The persona that is served where none is named.
    pub fn default_persona() -> Self {
        Self("default".to_owned())
    }

    /// Parses 1 to 128 letters, digits, `-` or `_`.
    ///
    /// # Errors
    /// [`InputError::Malformed`] for anything else.
    pub fn parse(text: &str) -> Result<Self, InputError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if text.is_empty() || text.len() > crate::limits::NAME_CHARS_MAX || !text.chars().all(plain)
        {
            let expected = "1 to 128 letters, digits, '-' or '_'";
            return Err(InputError::malformed("persona", expected, text));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `default` is `venom_personality.md`, `variant2` is `venom_personality_v2.md` (both as the
    /// predecessor had it), any other `NAME` is `venom_personality_NAME.md`.
    pub fn file_name(&self) -> String {
        match self.0.as_str() {
            "default" => "venom_personality.md".to_owned(),
            "variant2" => "venom_personality_v2.md".to_owned(),
            name => format!("venom_personality_{name}.md"),
        }
    }

    /// The reverse of [`Self::file_name`]; `None` for a file that is no persona.
    pub fn from_file_name(file: &str) -> Option<Self> {
        match file
            .strip_prefix("venom_personality")?
            .strip_suffix(".md")?
        {
            "" => Some(Self::default_persona()),
            "_v2" => Some(Self("variant2".to_owned())),
            rest => Self::parse(rest.strip_prefix('_')?).ok(),
        }
    }
}

/// A persona ready to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persona {
    /// Its name.
    pub name: PersonaName,
    /// Its markdown, as in the file.
    pub markdown: String,
    /// Its first heading, or its name where it has none: for people.
    pub title: String,
}

impl Persona {
    /// A persona from its file's text.
    pub fn new(name: PersonaName, markdown: String) -> Self {
        let heading = markdown.lines().find_map(|line| line.strip_prefix("# "));
        let title = heading.map_or_else(|| name.as_str().to_owned(), |h| h.trim().to_owned());
        Self {
            name,
            markdown,
            title,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_files_map_both_ways() {
        for (name, file) in [
            ("default", "venom_personality.md"),
            ("variant2", "venom_personality_v2.md"),
            ("pirate", "venom_personality_pirate.md"),
        ] {
            let parsed = PersonaName::parse(name).unwrap();
            assert_eq!(parsed.file_name(), file);
            assert_eq!(PersonaName::from_file_name(file), Some(parsed));
        }
        assert_eq!(PersonaName::from_file_name("README.md"), None);
    }

    #[test]
    fn a_name_cannot_leave_its_folder() {
        for bad in ["", "../x", "a/b", "a.b", "a\0", "ä"] {
            assert!(PersonaName::parse(bad).is_err(), "{bad:?}");
        }
    }
}
