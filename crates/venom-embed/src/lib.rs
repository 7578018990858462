//! Embeddings by all-MiniLM-L6-v2 on the CPU, in 32-bit floats, offline.
//!
//! [`model_files::locate`] finds the model, [`MiniLm::open`] checks and loads it, and the
//! [`Embedder`] port of the domain does the rest. Inside: text to tokens (`tokenizer`), long text to
//! windows (`passages`), tokens to vectors (`encoder` over `product` and `kernels`).
//!
//! **Threads.** A call runs on one core. Callers get parallelism by calling from several threads,
//! which share the weights; that is the best use of a server's cores, and one slow text does not hold
//! up the others.

mod encoder;
mod kernels;
mod lanes;
pub mod model_files;
mod passages;
mod product;
#[cfg(test)]
mod tests;
mod tokenizer;
mod vocabulary;
mod weights;

use encoder::Encoder;
use lanes::Lanes;
pub use model_files::{DIMENSIONS, KNOWN_MODELS, KnownFile, KnownModel, ModelFolder, locate};
use std::thread;
use tokenizer::Tokenizer;
use venom_core::ports::Vocabulary;
use venom_core::{EmbedError, Embedder, Embedding, ModelStamp, Passage, PassageSpan};
use vocabulary::Words;

/// Tokens in one forward pass at most, unless a single text has more. Small texts share a pass, which
/// reads the weights once for all of them; beyond this the gain is used up and only memory grows.
const BATCH_TOKENS_MAX: usize = 512;

/// The model all-MiniLM-L6-v2, ready to embed. About 90 MB, and for each concurrent call up to 25 MB.
pub struct MiniLm {
    stamp: ModelStamp,
    tokens_max: usize,
    tokenizer: Tokenizer,
    words: Words,
    encoder: Encoder,
    lanes: Lanes,
}

impl std::fmt::Debug for MiniLm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MiniLm")
            .field("stamp", &self.stamp)
            .finish_non_exhaustive()
    }
}

impl MiniLm {
    /// Reads a model and checks every byte of it against the known hashes. Reads 91 MB.
    ///
    /// # Errors
    /// [`EmbedError::ModelDamaged`] if a file is not the known one, [`EmbedError::ModelNotFound`] if
    /// it cannot be read.
    pub fn open(folder: &ModelFolder) -> Result<Self, EmbedError> {
        let model = folder.model;
        let (tokenizer, encoder) = thread::scope(|scope| {
            let tokenizer = scope.spawn(|| {
                let vocabulary = weights::read_text(&folder.path, &model.vocabulary)?;
                Ok((Tokenizer::new(&vocabulary)?, Words::new(&vocabulary)))
            });
            let encoder = weights::read_weights(&folder.path, &model.weights)
                .and_then(|weights| Encoder::new(weights, model.tokens_max).map_err(failed));
            (tokenizer.join(), encoder)
        });
        let tokenizer = tokenizer.map_err(|_| failed("the tokenizer could not be built"))?;
        let (tokenizer, words) = tokenizer?;
        Ok(Self {
            stamp: model.stamp(),
            tokens_max: model.tokens_max,
            tokenizer,
            words,
            encoder: encoder?,
            lanes: Lanes::default(),
        })
    }

    /// The token ids that [`Embedder::embed`] reads of a text: at most 256, the first is `[CLS]`, the
    /// last `[SEP]`.
    ///
    /// # Errors
    /// [`EmbedError::Inference`] if the tokenizer fails, which would be a bug.
    pub fn token_ids(&self, text: &str) -> Result<Vec<u32>, EmbedError> {
        self.tokenizer.window(text, self.tokens_max)
    }

    /// One vector per text of tokens, in order. Texts of similar length share forward passes.
    fn embed_tokens(&self, texts: &[Vec<u32>]) -> Result<Vec<Embedding>, EmbedError> {
        let mut vectors: Vec<Option<Embedding>> = vec![None; texts.len()];
        for batch in batches(texts) {
            let ids: Vec<&[u32]> = batch.iter().map(|&i| texts[i].as_slice()).collect();
            let raw = self
                .lanes
                .run(|| self.encoder.forward(&ids))?
                .map_err(failed)?;
            for (i, vector) in batch.into_iter().zip(raw) {
                vectors[i] = Embedding::normalize(vector);
            }
        }
        let complete: Option<Vec<Embedding>> = vectors.into_iter().collect();
        complete.ok_or_else(|| failed("a vector has no direction"))
    }
}

impl Embedder for MiniLm {
    fn model(&self) -> &ModelStamp {
        &self.stamp
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        let tokens: Vec<Vec<u32>> = texts
            .iter()
            .map(|text| self.token_ids(text))
            .collect::<Result<_, _>>()?;
        self.embed_tokens(&tokens)
    }

    fn embed_passages(&self, texts: &[&str]) -> Result<Vec<Vec<Passage>>, EmbedError> {
        let mut spans = Vec::with_capacity(texts.len());
        let mut tokens = Vec::with_capacity(texts.len());
        for text in texts {
            let cut = passages::cut(&self.tokenizer, text, self.tokens_max)?;
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
}

impl Vocabulary for MiniLm {
    fn vector(&self, word: &str) -> Option<Vec<f32>> {
        self.words.vector(word, &self.tokenizer, &self.encoder)
    }

    fn words(&self) -> &[String] {
        &self.words.common
    }

    fn has_word(&self, word: &str) -> bool {
        self.tokenizer.has_word(word)
    }
}

/// Indices of `texts` in groups of at most [`BATCH_TOKENS_MAX`] tokens, in order.
fn batches(texts: &[Vec<u32>]) -> Vec<Vec<usize>> {
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut tokens = usize::MAX;
    for (i, text) in texts.iter().enumerate() {
        tokens = tokens.saturating_add(text.len());
        match batches.last_mut() {
            Some(batch) if tokens <= BATCH_TOKENS_MAX => batch.push(i),
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
