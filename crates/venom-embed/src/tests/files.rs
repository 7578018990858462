//! Model files that are missing, damaged or of another model.

use super::folder;
use crate::{MiniLm, Options, locate};
use std::fs;
use std::path::{Path, PathBuf};
use venom_core::EmbedError;

/// A copy of the model's folder that is removed at the end.
struct Copy(PathBuf);

impl Copy {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("venom-embed-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        for file in ["model.safetensors", "vocab.txt"] {
            fs::copy(folder().path.join(file), path.join(file)).unwrap();
        }
        Self(path)
    }

    fn open(&self) -> Result<MiniLm, EmbedError> {
        MiniLm::open(
            &locate(self.0.to_str().expect("a UTF-8 path"), &[])?,
            &Options::default(),
        )
    }

    /// Turns over the bits of one byte.
    fn damage(&self, file: &str, at: usize) {
        let path = self.0.join(file);
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] ^= 0xff;
        fs::write(&path, bytes).unwrap();
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // What cannot be removed stays in the system's temporary folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[track_caller]
fn check_damaged(result: Result<MiniLm, EmbedError>, words: &[&str]) {
    let error = result.map(drop).unwrap_err();
    assert!(matches!(error, EmbedError::ModelDamaged(_)), "{error:?}");
    for word in words {
        assert!(error.to_string().contains(word), "{error}: expected {word}");
    }
}

const WEIGHTS_HASH: &str = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db";
const VOCABULARY_HASH: &str = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3";

#[test]
fn a_flipped_byte_is_found_wherever_it_is() {
    let copy = Copy::new("flipped");
    // The length of the header, the header, the first tensor, the last.
    for at in [0, 7, 100, 50_000, 90_868_375] {
        copy.damage("model.safetensors", at);
        check_damaged(
            copy.open(),
            &["model.safetensors", WEIGHTS_HASH, "found sha256 "],
        );
        copy.damage("model.safetensors", at);
    }
    copy.damage("vocab.txt", 1_000);
    check_damaged(
        copy.open(),
        &["vocab.txt", VOCABULARY_HASH, "231508 bytes with sha256"],
    );
    copy.damage("vocab.txt", 1_000);
    copy.open().unwrap();
}

#[test]
fn files_of_another_size_are_told_by_it() {
    let copy = Copy::new("truncated");
    fs::File::options()
        .write(true)
        .open(copy.0.join("model.safetensors"))
        .and_then(|file| file.set_len(1_000_000))
        .unwrap();
    let expected = [
        "expected 90868376 bytes",
        WEIGHTS_HASH,
        "found 1000000 bytes",
        "make model",
    ];
    check_damaged(copy.open(), &expected);
}

#[test]
fn another_vocabulary_is_refused() {
    let copy = Copy::new("vocabulary");
    fs::write(copy.0.join("vocab.txt"), "[PAD]\n[UNK]\n").unwrap();
    check_damaged(
        copy.open(),
        &["vocab.txt", "expected 231508 bytes", "found 12 bytes"],
    );
}

#[test]
fn a_folder_that_lost_a_file_names_it() {
    let copy = Copy::new("lost");
    let found = locate(copy.0.to_str().expect("a UTF-8 path"), &[]).unwrap();
    fs::remove_file(copy.0.join("vocab.txt")).unwrap();
    for error in [copy.open(), MiniLm::open(&found, &Options::default())]
        .map(|result| result.map(drop).unwrap_err())
    {
        assert!(matches!(error, EmbedError::ModelNotFound(_)), "{error:?}");
        assert!(error.to_string().contains("vocab.txt"), "{error}");
    }
}

#[test]
fn a_known_name_is_sought_in_order() {
    let model = folder();
    let models = model.path.parent().map(Path::to_owned).unwrap();
    let found = locate(&model.model.name, &["/nowhere".into(), models]).unwrap();
    assert_eq!(found, model);
}
