//! Embeddings by all-MiniLM-L6-v2 on the CPU, offline.
//!
//! [`model_files::locate`] finds the model, [`MiniLm::open`] checks and loads it, and the
//! [`Embedder`] port of the domain does the rest. Inside: text to tokens (`tokenizer`), long text to
//! windows (`passages`), tokens to vectors (`encoder` over `int8_matrix`, `float_matrix` and `attention`, with
//! the instructions of the processor in `kernels`). The arithmetic and the layouts: `docs/encoder.md`.
//!
//! **Threads.** Callers get parallelism by calling from several threads, which share the weights. A call that
//! is alone may have several threads; the more calls there are, the fewer each has.

mod arithmetic;
mod attention;
#[cfg(feature = "bundled-model")]
mod bundled;
mod bytes;
mod description;
mod encoder;
mod float_matrix;
mod int8_matrix;
mod kernels;
#[cfg(feature = "measure")]
pub mod measure;
mod meeting;
pub mod model_files;
mod options;
mod packed;
mod passages;
mod shape;
#[cfg(test)]
mod tests;
mod tokenizer;
mod vocabulary;
mod weights;
mod word_pieces;

use bytes::Bytes;
use encoder::Encoder;
pub use model_files::{KNOWN_MODELS, KnownFile, KnownModel, Model, ModelFolder, locate};
pub use options::{Options, Precision, kernels_here};
pub use packed::PACKED_FILE;
pub use shape::{Pooling, Shape};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokenizer::Tokenizer;
use venom_core::ports::Vocabulary;
use venom_core::{EmbedError, Embedder, Embedding, ModelStamp, Passage, PassageSpan};
use vocabulary::Words;

/// Tokens per thread in one forward pass at most, unless a single text has more. Small texts share a pass,
/// which reads the weights once for all of them; beyond this the gain is used up, and the states no longer
/// fit the second-level cache.
const THREAD_TOKENS_MAX: usize = 128;

/// The model all-MiniLM-L6-v2, ready to embed. About 23 MB in int8 and 90 MB in f32, and for each concurrent
/// call up to 10 MB.
pub struct MiniLm {
    stamp: ModelStamp,
    tokens_max: usize,
    tokenizer: Tokenizer,
    words: Words,
    encoder: Encoder,
    precision: Precision,
    threads_per_text: usize,
    /// Calls that are under way.
    calls: AtomicUsize,
}

impl std::fmt::Debug for MiniLm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MiniLm")
            .field("stamp", &self.stamp)
            .finish_non_exhaustive()
    }
}

impl MiniLm {
    /// Opens a model: the one in the program, the packed file of the folder, or its weights, whichever is
    /// first there and fits the precision. Every byte that is read is checked: of a packed file by the
    /// checksum in its header (23 MB), of weights by the known hash (91 MB).
    ///
    /// # Errors
    /// [`EmbedError::ModelDamaged`] if a file is not the known one, [`EmbedError::ModelNotFound`] if
    /// it cannot be read, [`EmbedError::Inference`] for a kernel that this processor cannot run.
    pub fn open(folder: &ModelFolder, options: &Options) -> Result<Self, EmbedError> {
        let kernel = options.kernel()?;
        let bundled = bundled_model().filter(|_| folder.is_bundled);
        let opened = match options.precision {
            Precision::Int8 if bundled.is_some() || packed::is_usable(&folder.path) => {
                open_packed(folder, bundled)?
            }
            Precision::Float32 if !folder.has_weights() => return Err(folder.no_weights()),
            precision => open_weights(folder, precision)?,
        };
        let Model {
            shape,
            tokens_max,
            pooling,
            ..
        } = folder.model;
        Ok(Self {
            stamp: opened.stamp,
            tokens_max,
            tokenizer: opened.tokenizer,
            words: Words::default(),
            encoder: Encoder::new((shape, pooling), opened.weights, kernel),
            precision: options.precision,
            threads_per_text: options.threads_per_text.max(1),
            calls: AtomicUsize::new(0),
        })
    }

    /// The token ids that [`Embedder::embed`] reads of a text: at most 256, the first is `[CLS]`, the
    /// last `[SEP]`.
    pub fn token_ids(&self, text: &str) -> Vec<u32> {
        self.tokenizer.window(text, self.tokens_max)
    }

    /// One vector per text of tokens, in order. Texts of similar length share forward passes.
    fn embed_tokens(&self, texts: &[Vec<u32>]) -> Result<Vec<Embedding>, EmbedError> {
        let under_way = UnderWay::new(&self.calls);
        let mut vectors: Vec<Option<Embedding>> = vec![None; texts.len()];
        for batch in batches(texts, self.threads_per_text * THREAD_TOKENS_MAX) {
            let ids: Vec<&[u32]> = batch.iter().map(|&i| texts[i].as_slice()).collect();
            let threads = (self.threads_per_text / under_way.calls()).max(1);
            let raw = self.encoder.forward(&ids, threads).map_err(failed)?;
            for (i, vector) in batch.into_iter().zip(raw) {
                vectors[i] = Embedding::normalize(vector);
            }
        }
        let complete: Option<Vec<Embedding>> = vectors.into_iter().collect();
        complete.ok_or_else(|| failed("a vector has no direction"))
    }
}

/// The packed form of a model, 23 MB: what [`MiniLm::open`] reads fastest, all that int8 needs in one file
/// ([`PACKED_FILE`] in the model's folder). Reads the weights.
///
/// # Errors
/// As [`MiniLm::open`].
pub fn pack(folder: &ModelFolder) -> Result<Vec<u8>, EmbedError> {
    let (vocabulary, weights, sha256) = read_sources(folder, Precision::Int8)?;
    Ok(packed::write(&folder.model, &sha256, &vocabulary, &weights))
}

/// What a model is made of.
struct Opened {
    stamp: ModelStamp,
    tokenizer: Tokenizer,
    weights: encoder::Weights,
}

/// From the packed model in the program, which is as sound as its code, else the file of the folder.
fn open_packed(folder: &ModelFolder, bundled: Option<&'static [u8]>) -> Result<Opened, EmbedError> {
    let path = folder.path.join(PACKED_FILE);
    let bytes = match bundled {
        Some(bytes) => Bytes::Static(bytes),
        None => weights::read_packed(&path)?,
    };
    let damaged = |found: &str| weights::packed_damaged(&path, found);
    let packed = packed::read(&bytes).map_err(|found| damaged(&found))?;
    let (found, expected) = (&packed.model, &folder.model);
    let is_expected = (found.shape, found.tokens_max, found.pooling)
        == (expected.shape, expected.tokens_max, expected.pooling)
        && (expected.sha256.is_none() || found.sha256 == expected.sha256);
    if !is_expected {
        return Err(damaged("another model"));
    }
    Ok(Opened {
        stamp: found.stamp(found.sha256.clone().unwrap_or_default()),
        tokenizer: Tokenizer::new(packed.vocabulary)?,
        weights: packed.weights,
    })
}

/// From the files of the model's makers.
fn open_weights(folder: &ModelFolder, precision: Precision) -> Result<Opened, EmbedError> {
    let (vocabulary, weights, sha256) = read_sources(folder, precision)?;
    let packed_from = folder.model.sha256.as_ref();
    if packed_from.is_some_and(|expected| *expected != sha256) {
        let found = "one made from other weights than lie beside it";
        return Err(weights::packed_damaged(
            &folder.path.join(PACKED_FILE),
            found,
        ));
    }
    Ok(Opened {
        stamp: folder.model.stamp(sha256),
        tokenizer: Tokenizer::new(vocabulary)?,
        weights,
    })
}

/// The vocabulary, the weights, and their SHA-256.
fn read_sources(
    folder: &ModelFolder,
    precision: Precision,
) -> Result<(String, encoder::Weights, String), EmbedError> {
    let (path, model) = (&folder.path, &folder.model);
    let unsupported = |why: String| {
        let shown = path.display();
        EmbedError::ModelUnsupported(format!("the model in {shown} cannot be run: {why}"))
    };
    let vocabulary = weights::read_vocabulary(path, model.known.map(|known| &known.vocabulary))?;
    let (tensors, sha256) = weights::read_weights(path, model.known.map(|known| &known.weights))?;
    let weights = encoder::from_weights(tensors, model.shape, model.tokens_max, precision)
        .map_err(|why| unsupported(format!("of its weights in f32 {why}")))?;
    let tokens = vocabulary.lines().count();
    let last = u32::try_from(tokens.saturating_sub(1)).unwrap_or(u32::MAX);
    if !weights.words.has(last, model.shape) {
        let why = format!("vocab.txt has {tokens} tokens, more than the weights");
        return Err(unsupported(why));
    }
    Ok((vocabulary, weights, sha256))
}

/// Whether a model was compiled into this program.
pub fn has_bundled_model() -> bool {
    bundled_model().is_some()
}

fn bundled_model() -> Option<&'static [u8]> {
    #[cfg(feature = "bundled-model")]
    return bundled::model();
    #[cfg(not(feature = "bundled-model"))]
    None
}

impl Embedder for MiniLm {
    fn model(&self) -> &ModelStamp {
        &self.stamp
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        let tokens: Vec<Vec<u32>> = texts.iter().map(|text| self.token_ids(text)).collect();
        self.embed_tokens(&tokens)
    }

    fn embed_passages(&self, texts: &[&str]) -> Result<Vec<Vec<Passage>>, EmbedError> {
        let mut spans = Vec::with_capacity(texts.len());
        let mut tokens = Vec::with_capacity(texts.len());
        for text in texts {
            let cut = passages::cut(&self.tokenizer, text, self.tokens_max);
            let (text_spans, text_tokens): (Vec<_>, Vec<_>) = cut
                .into_iter()
                .map(|passage| (passage.span, passage.ids))
                .unzip();
            spans.push(text_spans);
            tokens.extend(text_tokens);
        }
        let mut vectors = self.embed_tokens(&tokens)?.into_iter();
        let with_vectors = |spans: Vec<_>| {
            let pairs = spans.into_iter().zip(&mut vectors);
            pairs
                .map(|(span, embedding)| Passage {
                    span: PassageSpan(span),
                    embedding,
                })
                .collect()
        };
        Ok(spans.into_iter().map(with_vectors).collect())
    }

    fn vocabulary(&self) -> &dyn Vocabulary {
        self
    }

    fn engine(&self) -> String {
        let (precision, kernel) = (self.precision.name(), self.encoder.kernel().name());
        match self.threads_per_text {
            1 => format!("{precision} by {kernel}, 1 thread"),
            threads => format!("{precision} by {kernel}, {threads} threads"),
        }
    }
}

impl Vocabulary for MiniLm {
    fn vector(&self, word: &str) -> Option<Vec<f32>> {
        self.words.vector(word, &self.tokenizer, &self.encoder)
    }

    fn words(&self) -> &[String] {
        self.words.common(&self.tokenizer)
    }

    fn vector_of_place(&self, place: usize) -> Option<Vec<f32>> {
        self.words
            .vector_of_place(place, &self.tokenizer, &self.encoder)
    }

    fn has_word(&self, word: &str) -> bool {
        self.tokenizer.has_word(word)
    }
}

/// A call that counts itself as long as it lives.
struct UnderWay<'a>(&'a AtomicUsize);

impl<'a> UnderWay<'a> {
    fn new(calls: &'a AtomicUsize) -> Self {
        calls.fetch_add(1, Ordering::Relaxed);
        Self(calls)
    }

    /// Calls under way, this one among them.
    fn calls(&self) -> usize {
        self.0.load(Ordering::Relaxed).max(1)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Indices of `texts` in groups of at most `tokens_max` tokens, unless a single text has more, in order.
fn batches(texts: &[Vec<u32>], tokens_max: usize) -> Vec<Vec<usize>> {
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut tokens = usize::MAX;
    for (i, text) in texts.iter().enumerate() {
        tokens = tokens.saturating_add(text.len());
        match batches.last_mut() {
            Some(batch) if tokens <= tokens_max => batch.push(i),
            _ => {
                batches.push(vec![i]);
                tokens = text.len();
            }
        }
    }
    batches
}

fn failed(error: impl std::fmt::Display) -> EmbedError {
    EmbedError::Inference(error.to_string())
}
