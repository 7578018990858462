//! Personas from markdown files, read anew on each call, with two built in.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use venom_core::{Persona, PersonaError, PersonaName, PersonaSource, limits};

/// The two personas that are part of the program, for when no folder has them.
const BUILT_IN: [(&str, &str); 2] = [
    (
        "default",
        include_str!("../../../personalities/venom_personality.md"),
    ),
    (
        "variant2",
        include_str!("../../../personalities/venom_personality_v2.md"),
    ),
];

/// Personas in folders, the first folder that has a file wins; then the built-in ones.
pub(crate) struct FilePersonas {
    folders: Vec<PathBuf>,
}

impl FilePersonas {
    /// Personas in these folders.
    pub(crate) const fn new(folders: Vec<PathBuf>) -> Self {
        Self { folders }
    }

    /// The persona of that name, or with a warning the default one where it does not exist.
    ///
    /// # Errors
    /// [`PersonaError::Unreadable`] if a file is there but cannot be served.
    pub(crate) fn load_or_default(&self, name: &PersonaName) -> Result<Persona, PersonaError> {
        match self.load(name) {
            Err(error @ PersonaError::NotFound { .. }) => {
                tracing::warn!("{error}; the default persona is served instead");
                self.load(&PersonaName::default_persona())
            }
            result => result,
        }
    }
}

impl PersonaSource for FilePersonas {
    fn load(&self, name: &PersonaName) -> Result<Persona, PersonaError> {
        let file = name.file_name();
        for folder in &self.folders {
            if let Some(markdown) = read(&folder.join(&file))? {
                return Ok(Persona::new(name.clone(), markdown));
            }
        }
        if let Some((_, markdown)) = BUILT_IN
            .iter()
            .find(|(built_in, _)| *built_in == name.as_str())
        {
            return Ok(Persona::new(name.clone(), (*markdown).to_owned()));
        }
        let searched: Vec<String> = self
            .folders
            .iter()
            .map(|f| f.display().to_string())
            .collect();
        let searched = searched.join(", ");
        Err(PersonaError::NotFound {
            name: name.as_str().to_owned(),
            file,
            searched,
        })
    }

    fn list(&self) -> Result<Vec<Persona>, PersonaError> {
        let mut names: BTreeMap<PersonaName, ()> = BTreeMap::new();
        for (name, _) in BUILT_IN {
            names.extend(PersonaName::parse(name).map(|name| (name, ())));
        }
        for folder in &self.folders {
            names.extend(names_in(folder)?.into_iter().map(|name| (name, ())));
        }
        let loaded = names.into_keys().filter_map(|name| match self.load(&name) {
            Ok(persona) => Some(persona),
            Err(error) => {
                tracing::warn!("a persona is left out of the list: {error}");
                None
            }
        });
        Ok(loaded.collect())
    }
}

/// The file's text; `None` if there is no such file.
fn read(path: &Path) -> Result<Option<String>, PersonaError> {
    let unreadable = |reason: String| PersonaError::Unreadable {
        file: path.display().to_string(),
        reason,
    };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error.to_string())),
    };
    let bytes_max = limits::PERSONA_BYTES_MAX;
    let mut bytes = Vec::new();
    let take = u64::try_from(bytes_max).unwrap_or(u64::MAX) + 1;
    file.take(take)
        .read_to_end(&mut bytes)
        .map_err(|e| unreadable(e.to_string()))?;
    if bytes.len() > bytes_max {
        return Err(unreadable(format!("it is longer than {bytes_max} bytes")));
    }
    let text =
        String::from_utf8(bytes).map_err(|_| unreadable("it is not UTF-8 text".to_owned()))?;
    if text.trim().is_empty() {
        return Err(unreadable("it is empty".to_owned()));
    }
    Ok(Some(text))
}

fn names_in(folder: &Path) -> Result<Vec<PersonaName>, PersonaError> {
    let unreadable = |error: std::io::Error| PersonaError::Unreadable {
        file: folder.display().to_string(),
        reason: error.to_string(),
    };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(unreadable(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let file = entry.map_err(unreadable)?.file_name();
        names.extend(file.to_str().and_then(PersonaName::from_file_name));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use venom_fuzz::Target;

    /// A folder of its own for one test, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(test: &str) -> Self {
            let path = std::env::temp_dir().join(format!("venom-{}-{test}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn write(&self, file: &str, bytes: &[u8]) {
            std::fs::write(self.0.join(file), bytes).unwrap();
        }

        fn personas(&self) -> FilePersonas {
            FilePersonas::new(vec![self.0.join("missing"), self.0.clone()])
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn name(text: &str) -> PersonaName {
        PersonaName::parse(text).unwrap()
    }

    #[test]
    fn an_edited_file_is_served_at_once() {
        let folder = Folder::new("edited");
        folder.write("venom_personality_pirate.md", b"# Ahoy\nOne");
        let personas = folder.personas();
        let first = personas.load(&name("pirate")).unwrap();
        assert_eq!(
            (first.title.as_str(), first.markdown.as_str()),
            ("Ahoy", "# Ahoy\nOne")
        );
        folder.write("venom_personality_pirate.md", b"# Ahoy\nTwo");
        assert_eq!(
            personas.load(&name("pirate")).unwrap().markdown,
            "# Ahoy\nTwo"
        );
    }

    #[test]
    fn files_win_over_built_in_personas() {
        let folder = Folder::new("override");
        let personas = folder.personas();
        assert_eq!(
            personas.load(&name("default")).unwrap().markdown,
            BUILT_IN[0].1
        );
        folder.write("venom_personality.md", b"mine");
        assert_eq!(personas.load(&name("default")).unwrap().markdown, "mine");
        let names: Vec<String> = personas
            .list()
            .unwrap()
            .iter()
            .map(|p| p.name.as_str().to_owned())
            .collect();
        assert_eq!(names, ["default", "variant2"]);
    }

    #[test]
    fn a_missing_persona_is_an_error_or_the_default() {
        let folder = Folder::new("missing");
        let error = folder.personas().load(&name("nobody")).unwrap_err();
        assert!(
            error.to_string().contains("venom_personality_nobody.md"),
            "{error}"
        );
        let default = folder.personas().load_or_default(&name("nobody")).unwrap();
        assert_eq!(default.name, PersonaName::default_persona());
    }

    #[test]
    fn damaged_files_are_named() {
        let folder = Folder::new("damaged");
        for bytes in [
            &b"\xff\xfe"[..],
            b"  \n",
            &vec![b'x'; limits::PERSONA_BYTES_MAX + 1],
        ] {
            folder.write("venom_personality.md", bytes);
            let error = folder.personas().load(&name("default")).unwrap_err();
            assert!(matches!(error, PersonaError::Unreadable { .. }), "{error}");
        }
    }

    /// A file's name, a line feed, its content.
    #[test]
    fn fuzz_personas() {
        let folder = Folder::new("fuzz");
        let words = [
            "venom_personality",
            "_v2",
            "_",
            ".md",
            "/",
            "..",
            "# ",
            "\n",
            "\0",
            "a",
        ];
        Target::new("personas").words(&words).run(|bytes| {
            let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
            let (file, content) = bytes.split_at(line);
            let file = String::from_utf8_lossy(file);
            let named = PersonaName::from_file_name(&file);
            if let Some(name) = &named {
                assert_eq!(
                    PersonaName::from_file_name(&name.file_name()).as_ref(),
                    Some(name)
                );
                assert!(!name.file_name().contains(['/', '\\', '\0']) && !name.as_str().is_empty());
            }
            folder.write("venom_personality_any.md", content);
            let loaded = folder.personas().load(&name("any"));
            match &loaded {
                Ok(persona) => {
                    assert_eq!(persona.markdown.as_bytes(), content);
                    assert!(!persona.title.contains('\n'));
                }
                Err(error) => assert!(matches!(error, PersonaError::Unreadable { .. })),
            }
            (
                named.is_some(),
                loaded
                    .map(|it| it.title == "any")
                    .map_err(|it| it.to_string().len()),
            )
        });
    }
}
