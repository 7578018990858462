//! Tests with the real model: reference vectors, damaged files, passages.
//!
//! The model is sought where `make model` puts it: `$VENOM_MODEL_DIR`, else the user's cache folder.

mod files;
mod golden;
mod packed;
mod passages;
mod tokenizer;
mod vocabulary;

use crate::{MiniLm, ModelFolder, Options, Precision, locate};
use std::env;
use std::path::PathBuf;
use std::sync::OnceLock;

/// The real model's folder.
fn folder() -> ModelFolder {
    let models = env::var_os("VENOM_MODEL_DIR")
        .map(PathBuf::from)
        .or_else(|| {
            let home = || Some(PathBuf::from(env::var_os("HOME")?).join(".cache"));
            let cache = env::var_os("XDG_CACHE_HOME")
                .map(PathBuf::from)
                .or_else(home)?;
            Some(cache.join("venom").join("models"))
        });
    match models.and_then(|models| locate("all-MiniLM-L6-v2", &[models]).ok()) {
        Some(folder) => folder,
        None => panic!("the model is missing: run `make model`"),
    }
}

/// The real model in the exact mode, opened once for all tests.
fn model() -> &'static MiniLm {
    static MODEL: OnceLock<MiniLm> = OnceLock::new();
    MODEL.get_or_init(|| {
        let options = Options {
            precision: Precision::Float32,
            ..Options::default()
        };
        MiniLm::open(&folder(), &options).expect("the model in the cache folder is sound")
    })
}

/// The real model as it is by default, opened once for all tests.
fn int8_model() -> &'static MiniLm {
    static MODEL: OnceLock<MiniLm> = OnceLock::new();
    MODEL.get_or_init(|| {
        MiniLm::open(&folder(), &Options::default())
            .expect("the model in the cache folder is sound")
    })
}
