//! The passphrase of encrypted backups: from a file, from a terminal, or a line on stdin. It is told to nobody.

use crate::failure::Failure;
use age::secrecy::SecretString;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::Path;
use tokio::signal::unix::{SignalKind, signal};
use venom_access::owner::{PASSPHRASE_BYTES_MAX, check_passphrase};

/// A passphrase. Its text is in no log and no error.
#[derive(Clone)]
pub(crate) struct Passphrase(SecretString);

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

/// What somebody is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prompt {
    /// A new passphrase; on a terminal twice, so that nobody locks himself out by a slip.
    ToSeal,
    /// The one that a backup was made with.
    ToOpen,
}

impl Passphrase {
    /// One that something is to be encrypted with: long enough. White space around it does not belong to it.
    pub(crate) fn to_seal(text: &str) -> Result<Self, Failure> {
        let text = check_passphrase(text)?;
        Ok(Self(SecretString::from(text.reveal().to_owned())))
    }

    /// One that something was encrypted with, by whatever program.
    pub(crate) fn to_open(text: &str) -> Result<Self, Failure> {
        let text = text.trim();
        if text.is_empty() || text.len() > PASSPHRASE_BYTES_MAX {
            return Err(Failure::invalid(format!(
                "the passphrase cannot be taken: expected 1 to {PASSPHRASE_BYTES_MAX} bytes, received {}",
                text.len()
            )));
        }
        Ok(Self(SecretString::from(text.to_owned())))
    }

    fn of(text: &str, prompt: Prompt) -> Result<Self, Failure> {
        match prompt {
            Prompt::ToSeal => Self::to_seal(text),
            Prompt::ToOpen => Self::to_open(text),
        }
    }

    /// The one in a file.
    ///
    /// # Errors
    /// [`Failure`] that names the file and never what is in it.
    pub(crate) fn in_file(path: &Path, prompt: Prompt) -> Result<Self, Failure> {
        let mut text = String::new();
        // A file that is longer by more than a line feed is refused below.
        let most = PASSPHRASE_BYTES_MAX as u64 + 16;
        let read = File::open(path).and_then(|file| file.take(most).read_to_string(&mut text));
        let shown = path.display();
        read.map_err(|error| {
            Failure::not_ready(format!(
                "the passphrase file {shown} cannot be read: {error}"
            ))
        })?;
        Self::of(&text, prompt)
            .map_err(|failure| Failure::new(failure.kind, format!("{shown}: {}", failure.message)))
    }

    /// Asks for it: on a terminal without showing what is typed, else the first line of stdin.
    ///
    /// # Errors
    /// [`Failure`] if nothing comes, or what comes cannot be taken.
    pub(crate) fn ask(prompt: Prompt) -> Result<Self, Failure> {
        if !io::stdin().is_terminal() {
            return Self::of(&line()?, prompt);
        }
        let text = hidden("Passphrase of the backup: ")?;
        if prompt == Prompt::ToSeal && hidden("The same again: ")?.trim() != text.trim() {
            return Err(Failure::invalid(
                "the passphrases differ: expected the same one twice",
            ));
        }
        Self::of(&text, prompt)
    }

    /// For the library that encrypts.
    pub(super) fn for_age(&self) -> SecretString {
        self.0.clone()
    }
}

/// The first line of stdin.
fn line() -> Result<String, Failure> {
    let mut text = String::new();
    let most = PASSPHRASE_BYTES_MAX as u64 + 16;
    let read = io::stdin().lock().take(most).read_line(&mut text);
    match read {
        Ok(0) => Err(Failure::invalid(
            "the passphrase is missing: expected it in a file (VENOM_BACKUP_PASSPHRASE_FILE), on a terminal or as a \
             line on stdin",
        )),
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::invalid(format!("stdin cannot be read: {error}"))),
    }
}

/// A line from the terminal that is not shown.
fn hidden(question: &str) -> Result<String, Failure> {
    let silent = Silent::new().map_err(|error| {
        Failure::not_ready(format!(
            "the terminal cannot be kept from showing what is typed: {error}"
        ))
    })?;
    let _ = write!(io::stderr(), "{question}");
    let text = line();
    drop(silent);
    let _ = writeln!(io::stderr());
    text
}

/// A terminal that does not show what is typed, until this is dropped.
struct Silent(Termios);

impl Silent {
    fn new() -> io::Result<Self> {
        let stdin = io::stdin();
        let before = tcgetattr(&stdin)?;
        show_again_at_a_signal(before.clone())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // If that fails there is no terminal any more.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

/// From now on Ctrl-C, or another signal that ends a program, ends the process with a terminal as it was before: a signal drops nothing.
fn show_again_at_a_signal(before: Termios) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut quit = signal(SignalKind::quit())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        let code = tokio::select! {
            _ = terminate.recv() => 143,
            _ = interrupt.recv() => 130,
            _ = quit.recv() => 131,
            _ = hangup.recv() => 129,
        };
        drop(Silent(before));
        let _ = writeln!(io::stderr());
        std::process::exit(code)
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use age::secrecy::ExposeSecret as _;
    use venom_testing::Folder;

    #[test]
    fn a_file_gives_its_text_without_the_line_feed() {
        let folder = Folder::new();
        let path = folder.join("passphrase");
        std::fs::write(&path, "correct horse battery\r\n").unwrap();
        for prompt in [Prompt::ToSeal, Prompt::ToOpen] {
            let passphrase = Passphrase::in_file(&path, prompt).unwrap();
            assert_eq!(passphrase.0.expose_secret(), "correct horse battery");
            assert_eq!(format!("{passphrase:?}"), "Passphrase(…)");
        }
    }

    #[test]
    fn what_cannot_be_taken_is_not_quoted() {
        let folder = Folder::new();
        let path = folder.join("passphrase");
        let long = "x".repeat(PASSPHRASE_BYTES_MAX + 1);
        for (text, prompt, expected) in [
            ("hunter2", Prompt::ToSeal, "expected 12 characters"),
            (" \n", Prompt::ToOpen, "expected 1 to 1024 bytes"),
            (&long, Prompt::ToSeal, "expected 12 characters"),
            (&long, Prompt::ToOpen, "received 1025"),
        ] {
            std::fs::write(&path, text).unwrap();
            let failure = Passphrase::in_file(&path, prompt).unwrap_err().message;
            assert!(failure.contains(expected), "{failure}");
            assert!(!failure.contains("hunter2") && !failure.contains("xxx"));
            assert!(
                failure.starts_with(&path.display().to_string()),
                "{failure}"
            );
        }
        let missing = Passphrase::in_file(&folder.join("none"), Prompt::ToOpen);
        assert!(missing.unwrap_err().message.contains("cannot be read"));
    }
}
