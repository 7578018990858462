//! What is told of the personas in a backup.

use crate::backup::{Fate, Fates, Plan};
use crate::config::Config;
use serde_json::{Value, json};
use std::fmt::Write as _;
use venom_core::counted;

/// What becomes of personas: how many there are of each kind, and which are left alone.
pub(super) fn text(personas: &Fates) -> String {
    let count = personas.all.len();
    if count == 0 {
        return String::new();
    }
    let fates = [
        ("new", personas.of(&Fate::Written)),
        ("there already", personas.of(&Fate::Unchanged)),
        ("replaced", personas.of(&Fate::Replaced)),
        ("left alone", personas.of(&Fate::Differs)),
        ("not restored", personas.failed()),
    ];
    let counts: Vec<String> = fates
        .iter()
        .filter(|(_, files)| !files.is_empty())
        .map(|(what, files)| format!("{} {what}", files.len()))
        .collect();
    let mut text = format!(
        "{} for {}: {}.\n",
        counted(count, "persona", "personas"),
        personas.folder.display(),
        counts.join(", ")
    );
    let differing = personas.of(&Fate::Differs);
    if !differing.is_empty() {
        let _ = writeln!(
            text,
            "Another text is there as {}, and stays: --replace moves it aside.",
            named(&differing)
        );
    }
    text
}

/// A word about personas that do not go where they are configured to be.
pub(super) fn elsewhere(personas: &Fates, config: &Config) -> Option<String> {
    let configured = config.persona_folder();
    (personas.folder != configured && !personas.all.is_empty()).then(|| {
        format!(
            "personas go to {} with --to: the persona folder {} is left alone",
            personas.folder.display(),
            configured.display()
        )
    })
}

/// What is said of personas that cannot be written, and how they are had all the same.
pub(super) fn failed(plan: &Plan, personas: &Fates) -> Option<String> {
    let why = personas.why()?;
    let archive = plan.persona_archive();
    let way = if plan.manifest.encrypted {
        format!(
            "`age --decrypt --output personas.zip {}` and `unzip -n personas.zip -d FOLDER`",
            archive.display()
        )
    } else {
        format!("`unzip -n {} -d FOLDER`", archive.display())
    };
    Some(format!(
        "not restored to {}: {}, since {why}; take them out with {way}",
        personas.folder.display(),
        named(&personas.failed()),
    ))
}

/// The same for programs, into an answer.
pub(super) fn json(personas: &Fates, answer: &mut Value) {
    answer["personas"] = json!(personas.all.len());
    answer["persona_folder"] = json!(personas.folder.display().to_string());
    for (key, files) in [
        ("personas_written", personas.of(&Fate::Written)),
        ("personas_unchanged", personas.of(&Fate::Unchanged)),
        ("personas_replaced", personas.of(&Fate::Replaced)),
        ("personas_left_alone", personas.of(&Fate::Differs)),
        ("personas_failed", personas.failed()),
    ] {
        answer[key] = json!(files);
    }
}

/// Names of files in a sentence.
pub(super) fn named(files: &[&str]) -> String {
    match files {
        [files @ .., last] if !files.is_empty() => format!("{} and {last}", files.join(", ")),
        files => files.concat(),
    }
}
