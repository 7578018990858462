//! Personas from markdown files, read anew on each call, with two built in.

use rustix::fs::{Mode, OFlags};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
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

    /// The personas that somebody wrote, by name: each as it would be served, but for what is a built-in one word for
    /// word. Then what is there and cannot be read, in a sentence each.
    pub(crate) fn own(&self) -> (Vec<Persona>, Vec<PersonaError>) {
        let (mut own, mut unreadable) = (Vec::new(), Vec::new());
        let mut names = BTreeSet::new();
        for folder in &self.folders {
            match names_in(folder) {
                Ok(found) => names.extend(found),
                Err(error) => unreadable.push(error),
            }
        }
        for name in names {
            match self.in_files(&name) {
                Ok(found) => own.extend(found.filter(|persona| !is_built_in(persona))),
                Err(error) => unreadable.push(error),
            }
        }
        (own, unreadable)
    }

    /// The persona of that name in the first folder that has its file.
    fn in_files(&self, name: &PersonaName) -> Result<Option<Persona>, PersonaError> {
        for folder in &self.folders {
            if let Some(markdown) = read(&folder.join(name.file_name()))? {
                return Ok(Some(Persona::new(name.clone(), markdown)));
            }
        }
        Ok(None)
    }
}

fn is_built_in(persona: &Persona) -> bool {
    BUILT_IN.contains(&(persona.name.as_str(), persona.markdown.as_str()))
}

impl PersonaSource for FilePersonas {
    fn load(&self, name: &PersonaName) -> Result<Persona, PersonaError> {
        if let Some(persona) = self.in_files(name)? {
            return Ok(persona);
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
            file: name.file_name(),
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
    let file = match open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error.to_string())),
    };
    let mut bytes = Vec::new();
    let take = u64::try_from(limits::PERSONA_BYTES_MAX).unwrap_or(u64::MAX) + 1;
    file.take(take)
        .read_to_end(&mut bytes)
        .map_err(|e| unreadable(e.to_string()))?;
    markdown(bytes).map(Some).map_err(unreadable)
}

/// Opens the file of a persona; links are followed. Whoever opens a pipe would wait for its other end.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::other("it is no plain file"))
}

/// The text of a persona.
///
/// # Errors
/// Why it cannot be served, in half a sentence.
pub(crate) fn markdown(bytes: Vec<u8>) -> Result<String, String> {
    let bytes_max = limits::PERSONA_BYTES_MAX;
    if bytes.len() > bytes_max {
        return Err(format!("it is longer than {bytes_max} bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    if text.trim().is_empty() {
        return Err("it is empty".to_owned());
    }
    Ok(text)
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

    #[test]
    fn what_is_no_plain_file_holds_nobody_up() {
        let folder = Folder::new("plain");
        let pipe = folder.0.join("venom_personality_pipe.md");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        std::fs::create_dir(folder.0.join("venom_personality_folder.md")).unwrap();
        for of in ["pipe", "folder"] {
            let error = folder.personas().load(&name(of)).unwrap_err().to_string();
            assert!(error.ends_with("it is no plain file"), "{error}");
        }
    }

    #[test]
    fn personas_of_ones_own_are_what_would_be_served_and_is_not_built_in() {
        let (first, second) = (Folder::new("own-1"), Folder::new("own-2"));
        let folders = vec![first.0.clone(), first.0.join("missing"), second.0.clone()];
        let personas = FilePersonas::new(folders);
        assert_eq!(personas.own(), (Vec::new(), Vec::new()));
        first.write("venom_personality_pirate.md", b"\xef\xbb\xbf# Ahoy\r\n");
        second.write("venom_personality_pirate.md", b"hidden by the first");
        second.write("venom_personality_work.md", b"at work");
        second.write("venom_personality.md", BUILT_IN[0].1.as_bytes());
        second.write("venom_personality_v2.md", b"# My own second\n");
        first.write("venom_personality_blank.md", b" \n");
        second.write("venom_personality_blank.md", b"never served");
        first.write("venom_personality_a b.md", b"no persona by its name");
        first.write("notes.md", b"no persona");
        // By another name than its own, it is never served.
        first.write("venom_personality_default.md", b"never served");
        std::os::unix::fs::symlink(
            second.0.join("venom_personality_work.md"),
            first.0.join("venom_personality_link.md"),
        )
        .unwrap();
        let (own, unreadable) = personas.own();
        let texts: Vec<_> = own
            .iter()
            .map(|persona| (persona.name.as_str(), persona.markdown.as_str()))
            .collect();
        let expected = [
            ("link", "at work"),
            ("pirate", "\u{feff}# Ahoy\r\n"),
            ("variant2", "# My own second\n"),
            ("work", "at work"),
        ];
        assert_eq!(texts, expected);
        assert_eq!(unreadable.len(), 1, "{unreadable:?}");
        let told = unreadable[0].to_string();
        assert!(told.ends_with("venom_personality_blank.md cannot be read: it is empty"));
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
