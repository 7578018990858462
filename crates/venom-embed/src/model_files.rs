//! Which models there are and where one lies on this machine.
//!
//! [`locate`] finds a folder by looking at names and sizes only. The bytes are checked against the
//! hashes while they are read, in [`crate::MiniLm::open`], so that they are read once.

use crate::packed::PACKED_FILE;
use crate::shape::{MINILM_L6, Shape};
use std::fmt::Write as _;
use std::fs;
use std::path::{MAIN_SEPARATOR, Path, PathBuf};
use venom_core::{EmbedError, ModelStamp};

/// A file of a model, by its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownFile {
    /// Its name in the model's folder.
    pub name: &'static str,
    /// Its exact size in bytes.
    pub bytes: u64,
    /// SHA-256 of its content, 64 lower-case hex digits.
    pub sha256: &'static str,
}

/// A model that this build can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownModel {
    /// Its name, as in the configuration and in the stamp of stored vectors.
    pub name: &'static str,
    /// Components of its vectors.
    pub dimensions: usize,
    /// The measures of its encoder.
    pub shape: Shape,
    /// Tokens it reads of one text, the two special ones included.
    pub tokens_max: usize,
    /// Its weights, in the safetensors format.
    pub weights: KnownFile,
    /// Its WordPiece vocabulary, one token a line.
    pub vocabulary: KnownFile,
}

/// Components of the vectors of every known model.
pub const DIMENSIONS: usize = 384;

/// Every model that this build can run.
pub const KNOWN_MODELS: &[KnownModel] = &[KnownModel {
    name: "all-MiniLM-L6-v2",
    dimensions: DIMENSIONS,
    shape: MINILM_L6,
    tokens_max: 256,
    weights: KnownFile {
        name: "model.safetensors",
        bytes: 90_868_376,
        sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    },
    vocabulary: KnownFile {
        name: "vocab.txt",
        bytes: 231_508,
        sha256: "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    },
}];

/// A folder that has the files of a known model in the right sizes. Their content is still unchecked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFolder {
    /// The folder.
    pub path: PathBuf,
    /// The model it holds.
    pub model: &'static KnownModel,
    /// Whether it was asked for by name and is compiled into the program, so that the folder is needed for
    /// the exact mode only and may not be there.
    pub is_bundled: bool,
}

impl ModelFolder {
    /// What the vectors of this model are stamped with in a store.
    pub fn stamp(&self) -> ModelStamp {
        self.model.stamp()
    }

    /// Whether the weights are there, beside a packed model or in its place.
    pub(crate) fn has_weights(&self) -> bool {
        self.path.join(self.model.weights.name).is_file()
    }

    /// What to say to somebody who wants the exact mode of a packed model.
    pub(crate) fn no_weights(&self) -> EmbedError {
        EmbedError::ModelNotFound(format!(
            "the precision f32 needs the weights of the model, which its packed form has not: put {} and {} into \
             {}, or use the precision int8",
            self.model.weights.name,
            self.model.vocabulary.name,
            self.path.display()
        ))
    }
}

impl KnownModel {
    /// What the vectors of this model are stamped with in a store.
    pub fn stamp(&self) -> ModelStamp {
        ModelStamp {
            name: self.name.to_owned(),
            sha256: self.weights.sha256.to_owned(),
            dimensions: self.dimensions,
        }
    }
}

/// Finds a model. The name of a known one is sought as `<folder>/<name>` in each folder of `search`,
/// in order; text with a path separator, or the path of a folder that exists, is taken as the
/// model's own folder.
///
/// # Errors
/// [`EmbedError::ModelNotFound`] for an unknown name (it lists the known ones) and for a model that
/// is not there (it lists the places searched and the next step). [`EmbedError::ModelDamaged`] for a
/// file of another size than expected.
pub fn locate(name_or_folder: &str, search: &[PathBuf]) -> Result<ModelFolder, EmbedError> {
    if let Some(model) = KNOWN_MODELS
        .iter()
        .find(|model| model.name == name_or_folder)
    {
        let is_bundled = crate::has_bundled_model();
        let places: Vec<PathBuf> = search
            .iter()
            .map(|folder| folder.join(model.name))
            .collect();
        let found = places.iter().find(|place| {
            let names = [PACKED_FILE, model.weights.name];
            names.iter().any(|name| place.join(name).is_file())
        });
        return match found {
            Some(place) => {
                let folder = check_folder(place);
                folder.map(|folder| ModelFolder {
                    is_bundled,
                    ..folder
                })
            }
            None if is_bundled => Ok(ModelFolder {
                path: places.into_iter().next().unwrap_or_default(),
                model,
                is_bundled,
            }),
            None => Err(not_found(model.name, &places)),
        };
    }
    let path = Path::new(name_or_folder);
    if name_or_folder.contains(['/', MAIN_SEPARATOR]) || path.is_dir() {
        return check_folder(path);
    }
    let known: Vec<&str> = KNOWN_MODELS.iter().map(|model| model.name).collect();
    Err(EmbedError::ModelNotFound(format!(
        "the embedding model {name_or_folder:?} is unknown: expected {} or the path of its folder",
        known.join(", ")
    )))
}

/// The model in `folder`, told by the size of its weights.
fn check_folder(folder: &Path) -> Result<ModelFolder, EmbedError> {
    let file_size = |name: &str| fs::metadata(folder.join(name)).ok().map(|meta| meta.len());
    let fits = |file: &KnownFile| file_size(file.name) == Some(file.bytes);
    let model = match KNOWN_MODELS.iter().find(|model| fits(&model.weights)) {
        Some(model) => model,
        None => &KNOWN_MODELS[0],
    };
    let files: &[&KnownFile] = match file_size(PACKED_FILE) {
        // It has all of them in it.
        Some(_) if file_size(model.weights.name).is_none() => &[],
        _ => &[&model.weights, &model.vocabulary],
    };
    for file in files {
        match file_size(file.name) {
            None => return Err(not_found(file.name, &[folder.to_owned()])),
            Some(bytes) if bytes != file.bytes => {
                return Err(damaged(folder, file, &format!("{bytes} bytes")));
            }
            Some(_) => {}
        }
    }
    Ok(ModelFolder {
        path: folder.to_owned(),
        model,
        is_bundled: false,
    })
}

/// A file that is not the expected one; `found` says its size or hash.
pub(crate) fn damaged(folder: &Path, file: &KnownFile, found: &str) -> EmbedError {
    EmbedError::ModelDamaged(format!(
        "the model file {} is damaged or of another model: expected {} bytes with sha256 {}, found \
         {found}; delete it and run `make model` to get it again",
        folder.join(file.name).display(),
        file.bytes,
        file.sha256,
    ))
}

/// Nothing at any of `places`.
fn not_found(what: &str, places: &[PathBuf]) -> EmbedError {
    let mut text = format!("the embedding model is missing: looked for {what} in");
    for (i, place) in places.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        // Writing into a `String` cannot fail.
        let _ = write!(text, "{comma} {}", place.display());
    }
    if places.is_empty() {
        text.push_str(" no folder, as none is configured");
    }
    text.push_str("; run `make model` (or `make run`) to get it");
    EmbedError::ModelNotFound(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = locate("all-MiniLM-L12", &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the embedding model \"all-MiniLM-L12\" is unknown: expected all-MiniLM-L6-v2 or the \
             path of its folder"
        );
    }

    #[test]
    fn a_missing_model_lists_the_places_and_the_next_step() {
        let search = [PathBuf::from("/nowhere/a"), PathBuf::from("/nowhere/b")];
        let error = locate("all-MiniLM-L6-v2", &search).unwrap_err().to_string();
        let places = "in /nowhere/a/all-MiniLM-L6-v2, /nowhere/b/all-MiniLM-L6-v2;";
        assert!(
            error.contains(places) && error.contains("make model"),
            "{error}"
        );
        let error = locate("/nowhere/c", &search).unwrap_err();
        assert!(matches!(error, EmbedError::ModelNotFound(_)), "{error}");
        assert!(
            error
                .to_string()
                .contains("model.safetensors in /nowhere/c;"),
            "{error}"
        );
        assert!(locate("all-MiniLM-L6-v2", &[]).is_err());
    }
}
