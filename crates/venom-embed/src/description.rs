//! A model by the files that its makers lay beside the weights: for models that this build does not know by
//! their content. Everything that decides what vectors come out has to be said in them.
//!
//! | file | what is read |
//! |---|---|
//! | `config.json` | the measures of the encoder |
//! | `1_Pooling/config.json` | whether vectors are the mean of the tokens or the state of the first |
//! | `sentence_bert_config.json` | tokens of a text at most, else as many as there are positions |
//! | `tokenizer_config.json`, `modules.json` | that nothing is wanted that is not done here |

use crate::model_files::Model;
use crate::shape::{Pooling, Shape};
use serde_json::Value;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use venom_core::EmbedError;

/// The measures of the encoder.
pub(crate) const CONFIG_FILE: &str = "config.json";
/// What becomes of the tokens' states.
pub(crate) const POOLING_FILE: &str = "1_Pooling/config.json";
/// Tokens that a model must be able to read.
const TOKENS_MIN: usize = 16;

/// Reads the description of the model in `folder`.
///
/// # Errors
/// [`EmbedError::ModelUnsupported`] with what is missing or not supported.
pub(crate) fn read(folder: &Path) -> Result<Model, EmbedError> {
    describe(folder).map_err(|why| {
        EmbedError::ModelUnsupported(format!(
            "the model in {} cannot be run: {why}",
            folder.display()
        ))
    })
}

fn describe(folder: &Path) -> Result<Model, String> {
    let config = needed(folder, CONFIG_FILE)?;
    let shape = Shape::from_config(&config)?;
    let positions = number(&parse(CONFIG_FILE, &config)?, "max_position_embeddings");
    let positions = positions.ok_or("config.json has no max_position_embeddings")?;
    let sentences = optional(folder, "sentence_bert_config.json")?;
    let tokens_max = number(&sentences, "max_seq_length").map_or(positions, |n| n.min(positions));
    if tokens_max < TOKENS_MIN {
        return Err(format!(
            "expected texts of {TOKENS_MIN} tokens or more, found {tokens_max}"
        ));
    }
    let pooling = pooling(&parse(POOLING_FILE, &needed(folder, POOLING_FILE)?)?)?;
    check_tokenizer(&optional(folder, "tokenizer_config.json")?)?;
    check_modules(&optional(folder, "modules.json")?)?;
    let by = match pooling {
        Pooling::Mean => "mean",
        Pooling::FirstToken => "cls",
    };
    Ok(Model {
        // Not after its folder, which may be moved: the same model has to keep its name.
        name: format!("bert-{}x{}-{by}", shape.layers, shape.width),
        shape,
        tokens_max,
        pooling,
        sha256: None,
        known: None,
    })
}

/// The one way of pooling that is switched on.
fn pooling(config: &Value) -> Result<Pooling, String> {
    let modes = config.as_object().into_iter().flatten();
    let on: Vec<&str> = modes
        .filter(|(mode, on)| mode.starts_with("pooling_mode") && **on == Value::Bool(true))
        .map(|(mode, _)| mode.as_str())
        .collect();
    match on.as_slice() {
        ["pooling_mode_mean_tokens"] => Ok(Pooling::Mean),
        ["pooling_mode_cls_token"] => Ok(Pooling::FirstToken),
        other => Err(format!(
            "expected pooling_mode_mean_tokens or pooling_mode_cls_token in {POOLING_FILE}, found {}",
            if other.is_empty() {
                "neither".to_owned()
            } else {
                other.join(", ")
            }
        )),
    }
}

/// Whether texts are folded as our tokenizer does it.
fn check_tokenizer(config: &Value) -> Result<(), String> {
    for name in ["do_lower_case", "strip_accents", "tokenize_chinese_chars"] {
        if config[name] == Value::Bool(false) {
            return Err(format!(
                "expected a tokenizer for lower case without accents, found {name} false in tokenizer_config.json"
            ));
        }
    }
    Ok(())
}

/// Whether nothing but an encoder, pooling and unit length makes a vector.
fn check_modules(modules: &Value) -> Result<(), String> {
    for module in modules.as_array().into_iter().flatten() {
        let kind = module["type"].as_str().unwrap_or_default();
        let name = kind.rsplit('.').next().unwrap_or_default();
        if !matches!(name, "Transformer" | "Pooling" | "Normalize") {
            return Err(format!(
                "expected a transformer, pooling and normalization in modules.json, found {kind:?}"
            ));
        }
    }
    Ok(())
}

fn number(config: &Value, key: &str) -> Option<usize> {
    config[key].as_u64().and_then(|n| usize::try_from(n).ok())
}

fn needed(folder: &Path, name: &str) -> Result<String, String> {
    fs::read_to_string(folder.join(name)).map_err(|error| format!("{name} cannot be read: {error}"))
}

/// `null` for a file that is not there.
fn optional(folder: &Path, name: &str) -> Result<Value, String> {
    match fs::read_to_string(folder.join(name)) {
        Ok(text) => parse(name, &text),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Value::Null),
        Err(error) => Err(format!("{name} cannot be read: {error}")),
    }
}

fn parse(name: &str, text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("{name} is no JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use venom_fuzz::Target;

    /// Files in the order of [`NAMES`], with percent signs between them.
    #[test]
    fn fuzz_model_descriptions() {
        const NAMES: [&str; 5] = [
            CONFIG_FILE,
            POOLING_FILE,
            "sentence_bert_config.json",
            "tokenizer_config.json",
            "modules.json",
        ];
        let folder = std::env::temp_dir().join(format!("venom-description-{}", std::process::id()));
        fs::create_dir_all(folder.join("1_Pooling")).unwrap();
        let words = [
            "%",
            "hidden_size",
            "num_attention_heads",
            "max_position_embeddings",
            "max_seq_length",
            "null",
            "true",
            "pooling_mode_mean_tokens",
            "pooling_mode_cls_token",
            "do_lower_case",
            "[",
            "]",
            "{",
            "}",
            ":",
            "768",
            "512",
        ];
        Target::new("model-descriptions")
            .words(&words)
            .run(|bytes| {
                let mut parts = bytes
                    .split(|byte| *byte == b'%')
                    .filter(|part| !part.is_empty());
                for name in NAMES {
                    let _ = fs::write(folder.join(name), parts.next().unwrap_or(b"null"));
                }
                let model = read(&folder).ok()?;
                assert_eq!(model.shape.check(), Ok(()));
                assert!(model.tokens_max >= TOKENS_MIN);
                Some((model.name, model.tokens_max.min(600)))
            });
        let _ = fs::remove_dir_all(folder);
    }
}
