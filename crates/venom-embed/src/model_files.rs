//! Which models there are and where one lies on this machine.
//!
//! [`locate`] finds a folder by looking at names and sizes only. The bytes are checked against the
//! hashes while they are read, in [`crate::MiniLm::open`], so that they are read once.

use crate::description;
use crate::packed::{self, PACKED_FILE};
use crate::shape::{MINILM_L6, Pooling, Shape};
use std::fmt::Write as _;
use std::fs;
use std::path::{MAIN_SEPARATOR, Path, PathBuf};
use venom_core::{EmbedError, ModelStamp};

/// The weights of a model in its folder.
pub(crate) const WEIGHTS_FILE: &str = "model.safetensors";
/// Its vocabulary.
pub(crate) const VOCABULARY_FILE: &str = "vocab.txt";

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

/// A model that this build knows by its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownModel {
    /// Its name, as in the configuration and in the stamp of stored vectors.
    pub name: &'static str,
    /// The measures of its encoder.
    pub shape: Shape,
    /// Tokens it reads of one text, the two special ones included.
    pub tokens_max: usize,
    /// What becomes of the states of the tokens.
    pub pooling: Pooling,
    /// Its weights, in the safetensors format.
    pub weights: KnownFile,
    /// Its WordPiece vocabulary, one token a line.
    pub vocabulary: KnownFile,
}

/// Every model that has a name. Others are told by the path of their folder.
pub const KNOWN_MODELS: &[KnownModel] = &[KnownModel {
    name: "all-MiniLM-L6-v2",
    shape: MINILM_L6,
    tokens_max: 256,
    pooling: Pooling::Mean,
    weights: KnownFile {
        name: WEIGHTS_FILE,
        bytes: 90_868_376,
        sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    },
    vocabulary: KnownFile {
        name: VOCABULARY_FILE,
        bytes: 231_508,
        sha256: "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    },
}];

/// A model that can be run, before its weights are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The name of a known one; of another what it is, such as `bert-12x768-cls`.
    pub name: String,
    /// The measures of its encoder.
    pub shape: Shape,
    /// Tokens it reads of one text, the two special ones included.
    pub tokens_max: usize,
    /// What becomes of the states of the tokens.
    pub pooling: Pooling,
    /// SHA-256 of its weights, 64 lower-case hex digits; `None` as long as only reading them tells.
    pub sha256: Option<String>,
    /// What its files have to be, if this build knows it.
    pub known: Option<&'static KnownModel>,
}

/// The model of a folder that has its files. Their content is still unchecked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFolder {
    /// The folder.
    pub path: PathBuf,
    /// The model it holds.
    pub model: Model,
    /// Whether it was asked for by name and is compiled into the program, so that the folder is needed for
    /// the exact mode only and may not be there.
    pub is_bundled: bool,
}

impl ModelFolder {
    /// What the vectors of this model are stamped with in a store; `None` as long as only reading the weights
    /// tells.
    pub fn stamp(&self) -> Option<ModelStamp> {
        let sha256 = self.model.sha256.clone()?;
        Some(self.model.stamp(sha256))
    }

    /// Whether the weights are there, beside a packed model or in its place.
    pub(crate) fn has_weights(&self) -> bool {
        self.path.join(WEIGHTS_FILE).is_file()
    }

    /// What to say to somebody who wants the exact mode of a packed model.
    pub(crate) fn no_weights(&self) -> EmbedError {
        EmbedError::ModelNotFound(format!(
            "the precision f32 needs the weights of the model, which its packed form has not: put {WEIGHTS_FILE} \
             and {VOCABULARY_FILE} into {}, or use the precision int8",
            self.path.display()
        ))
    }
}

impl Model {
    /// The stamp of vectors, once the hash of the weights is known. The same weights have the same name wherever
    /// they lie.
    pub(crate) fn stamp(&self, sha256: String) -> ModelStamp {
        let mut known = KNOWN_MODELS.iter();
        let known = known.find(|known| known.weights.sha256 == sha256);
        ModelStamp {
            name: known.map_or(&*self.name, |known| known.name).to_owned(),
            sha256,
            dimensions: self.shape.width,
        }
    }
}

impl From<&'static KnownModel> for Model {
    fn from(known: &'static KnownModel) -> Self {
        Self {
            name: known.name.to_owned(),
            shape: known.shape,
            tokens_max: known.tokens_max,
            pooling: known.pooling,
            sha256: Some(known.weights.sha256.to_owned()),
            known: Some(known),
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
/// file of another size than expected. [`EmbedError::ModelUnsupported`] for a model that describes itself as one
/// that this encoder is not made for.
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
            let names = [PACKED_FILE, WEIGHTS_FILE];
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
                model: model.into(),
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

/// The model in `folder`, with its files in place.
fn check_folder(folder: &Path) -> Result<ModelFolder, EmbedError> {
    let model = model_of(folder)?;
    let file_size = |name: &str| fs::metadata(folder.join(name)).ok().map(|meta| meta.len());
    let files: &[&str] = match file_size(PACKED_FILE) {
        // It has all of them in it.
        Some(_) if file_size(WEIGHTS_FILE).is_none() => &[],
        _ => &[WEIGHTS_FILE, VOCABULARY_FILE],
    };
    for name in files {
        let Some(bytes) = file_size(name) else {
            return Err(not_found(name, &[folder.to_owned()]));
        };
        let known = model.known.map(|known| [&known.weights, &known.vocabulary]);
        let known = known.into_iter().flatten().find(|file| file.name == *name);
        if let Some(file) = known.filter(|file| file.bytes != bytes) {
            return Err(damaged(folder, file, &format!("{bytes} bytes")));
        }
    }
    Ok(ModelFolder {
        path: folder.to_owned(),
        model,
        is_bundled: false,
    })
}

/// The model of a folder: the known one that it is named after; else, where nothing but a packed one lies, that;
/// else the one that the files beside the weights describe; else a known one, told by the size of the weights.
fn model_of(folder: &Path) -> Result<Model, EmbedError> {
    let has = |name: &str| folder.join(name).is_file();
    let mut known = KNOWN_MODELS.iter();
    if let Some(named) = known.find(|model| folder.ends_with(model.name)) {
        return Ok(named.into());
    }
    let weights = fs::metadata(folder.join(WEIGHTS_FILE)).ok();
    let fits =
        |model: &&KnownModel| weights.as_ref().map(fs::Metadata::len) == Some(model.weights.bytes);
    let fitting = KNOWN_MODELS.iter().find(fits);
    let describes_itself =
        has(description::POOLING_FILE) || (fitting.is_none() && has(description::CONFIG_FILE));
    match packed::describe(&folder.join(PACKED_FILE)) {
        Some(packed) if weights.is_none() => Ok(packed),
        packed if describes_itself => Ok(Model {
            sha256: packed.and_then(|packed| packed.sha256),
            ..description::read(folder)?
        }),
        _ => Ok(fitting.unwrap_or(&KNOWN_MODELS[0]).into()),
    }
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
