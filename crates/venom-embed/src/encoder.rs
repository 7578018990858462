//! The forward pass of the BERT encoder: token ids to one vector per text.
//!
//! Devlin et al., "BERT", 2018 (arXiv 1810.04805), in the shape of MiniLM-L6-H384 (Wang et al., 2020,
//! arXiv 2002.10957). The texts of a batch are laid row below row without padding: `[rows, 384]` with
//! one row per token. What is done per token runs over all rows at once; attention runs per text. So
//! a text's vector does not depend on its neighbours, and no arithmetic is spent on padding.

use crate::kernels::{self, Softmax};
use crate::product::Packed;
use crate::weights::Weights;
use candle_core::{Device, Result, Tensor};
use std::ops::Range;

/// Components of a token's state.
const WIDTH: usize = 384;
/// Attention heads per layer.
const HEADS: usize = 12;
/// Components per head.
const HEAD_WIDTH: usize = WIDTH / HEADS;
/// Components between the two products of a feed-forward block.
const INNER_WIDTH: usize = 1536;
/// Layers.
const LAYERS: usize = 6;

/// The weights of the model, 87 MB, and the pass over them.
pub(crate) struct Encoder {
    /// `[vocabulary, 384]`, row-major.
    word_rows: Vec<f32>,
    /// `[tokens_max, 384]`: position plus token type 0, which every token here has.
    position_rows: Vec<f32>,
    norm_gain: Vec<f32>,
    norm_shift: Vec<f32>,
    layers: Vec<Layer>,
}

/// One layer.
struct Layer {
    /// Query, key and value side by side: 384 to 3 * 384.
    query_key_value: Linear,
    /// 384 to 384.
    attended: Linear,
    attended_norm: Norm,
    /// 384 to 1536.
    widen: Linear,
    /// 1536 to 384.
    narrow: Linear,
    narrow_norm: Norm,
}

/// A matrix and what is added to each row of its product.
struct Linear {
    matrix: Packed,
    bias: Vec<f32>,
}

/// A layer norm.
struct Norm {
    gain: Vec<f32>,
    shift: Vec<f32>,
}

impl Norm {
    fn apply(&self, rows: &mut [f32]) {
        kernels::layer_norm(rows, &self.gain, &self.shift);
    }
}

impl Encoder {
    /// Takes the tensors it needs out of `weights`.
    ///
    /// # Errors
    /// If one is missing or of another size.
    pub(crate) fn new(mut weights: Weights, tokens_max: usize) -> Result<Self> {
        let mut take = |name: &str, size: Option<usize>| match weights.remove(name) {
            Some(values) if size.is_none_or(|size| size == values.len()) => Ok(values),
            Some(values) => candle_core::bail!("{name}: expected {size:?}, found {}", values.len()),
            None => candle_core::bail!("{name} is missing"),
        };
        let mut position_rows = take("embeddings.position_embeddings.weight", None)?;
        position_rows.truncate(tokens_max * WIDTH);
        let types = take("embeddings.token_type_embeddings.weight", Some(2 * WIDTH))?;
        kernels::add_bias(&mut position_rows, &types[..WIDTH]);
        Ok(Self {
            word_rows: take("embeddings.word_embeddings.weight", None)?,
            position_rows,
            norm_gain: take("embeddings.LayerNorm.weight", Some(WIDTH))?,
            norm_shift: take("embeddings.LayerNorm.bias", Some(WIDTH))?,
            layers: (0..LAYERS)
                .map(|i| Layer::new(i, &mut take))
                .collect::<Result<_>>()?,
        })
    }

    /// The mean of the last layer's token states, one vector of 384 per text, not yet normalised.
    /// Each text has 1 to `tokens_max` tokens.
    ///
    /// 21.2 MFLOP per token and 4 * 384 * 6 more per pair of tokens of a text; working memory about
    /// 20 KB per token and 100 bytes per pair of tokens of the longest text.
    pub(crate) fn forward(&self, texts: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        let mut rows = Vec::with_capacity(texts.iter().map(|ids| ids.len() * WIDTH).sum());
        let mut spans = Vec::with_capacity(texts.len());
        for ids in texts {
            let first = rows.len() / WIDTH;
            self.look_up(ids, &mut rows)?;
            spans.push(first..rows.len() / WIDTH);
        }
        kernels::layer_norm(&mut rows, &self.norm_gain, &self.norm_shift);
        for layer in &self.layers {
            rows = layer.forward(&rows, &spans)?;
        }
        let mean = |span: Range<usize>| {
            kernels::mean_of_rows(&rows[span.start * WIDTH..span.end * WIDTH], WIDTH)
        };
        Ok(spans.into_iter().map(mean).collect())
    }

    /// The row of a token in the table that the model starts with.
    pub(crate) fn word_row(&self, id: u32) -> Option<&[f32]> {
        let start = id as usize * WIDTH;
        self.word_rows.get(start..start + WIDTH)
    }

    /// Appends the sum of word, position and type for each token.
    fn look_up(&self, ids: &[u32], rows: &mut Vec<f32>) -> Result<()> {
        if ids.is_empty() || ids.len() * WIDTH > self.position_rows.len() {
            candle_core::bail!("a text of {} tokens does not fit the window", ids.len());
        }
        for (id, position) in ids.iter().zip(self.position_rows.chunks_exact(WIDTH)) {
            let Some(word) = self.word_row(*id) else {
                candle_core::bail!("token {id} is beyond the vocabulary");
            };
            rows.extend(word.iter().zip(position).map(|(w, p)| w + p));
        }
        Ok(())
    }
}

impl Layer {
    fn new(
        index: usize,
        take: &mut impl FnMut(&str, Option<usize>) -> Result<Vec<f32>>,
    ) -> Result<Self> {
        let mut part =
            |name: &str, size: usize| take(&format!("encoder.layer.{index}.{name}"), Some(size));
        // Attention divides its scores by the root of the head's width. Doing that to the queries'
        // weights once is the same.
        let scale = 1.0 / (HEAD_WIDTH as f32).sqrt();
        let mut weights = part("attention.self.query.weight", WIDTH * WIDTH)?;
        let mut bias = part("attention.self.query.bias", WIDTH)?;
        weights
            .iter_mut()
            .chain(&mut bias)
            .for_each(|x| *x *= scale);
        for name in ["key", "value"] {
            weights.extend(part(
                &format!("attention.self.{name}.weight"),
                WIDTH * WIDTH,
            )?);
            bias.extend(part(&format!("attention.self.{name}.bias"), WIDTH)?);
        }
        let query_key_value = Linear {
            matrix: Packed::transposed(&weights, 3 * WIDTH, WIDTH),
            bias,
        };
        let mut linear = |name: &str, outputs: usize, inputs: usize| -> Result<Linear> {
            let weights = part(&format!("{name}.weight"), outputs * inputs)?;
            Ok(Linear {
                matrix: Packed::transposed(&weights, outputs, inputs),
                bias: part(&format!("{name}.bias"), outputs)?,
            })
        };
        let attended = linear("attention.output.dense", WIDTH, WIDTH)?;
        let widen = linear("intermediate.dense", INNER_WIDTH, WIDTH)?;
        let narrow = linear("output.dense", WIDTH, INNER_WIDTH)?;
        let mut norm = |name: &str| -> Result<Norm> {
            Ok(Norm {
                gain: part(&format!("{name}.LayerNorm.weight"), WIDTH)?,
                shift: part(&format!("{name}.LayerNorm.bias"), WIDTH)?,
            })
        };
        let (attended_norm, narrow_norm) = (norm("attention.output")?, norm("output")?);
        Ok(Self {
            query_key_value,
            attended,
            attended_norm,
            widen,
            narrow,
            narrow_norm,
        })
    }

    /// `[rows, 384]` to `[rows, 384]`.
    fn forward(&self, states: &[f32], spans: &[Range<usize>]) -> Result<Vec<f32>> {
        let mut query_key_value = self.query_key_value.matrix.product(states);
        kernels::add_bias(&mut query_key_value, &self.query_key_value.bias);
        let mut contexts = Vec::with_capacity(states.len());
        for span in spans {
            let of_text = &query_key_value[span.start * 3 * WIDTH..span.end * 3 * WIDTH];
            contexts.extend(attend(of_text)?);
        }
        let mut attended = self.attended.matrix.product(&contexts);
        kernels::add_bias(&mut attended, &self.attended.bias);
        kernels::add(&mut attended, states);
        self.attended_norm.apply(&mut attended);

        let mut wide = self.widen.matrix.product(&attended);
        kernels::add_bias_gelu(&mut wide, &self.widen.bias);
        let mut output = self.narrow.matrix.product(&wide);
        kernels::add_bias(&mut output, &self.narrow.bias);
        kernels::add(&mut output, &attended);
        self.narrow_norm.apply(&mut output);
        Ok(output)
    }
}

/// Attention within one text: `[n, 3 * 384]` queries, keys and values to `[n, 384]`.
fn attend(query_key_value: &[f32]) -> Result<Vec<f32>> {
    let count = query_key_value.len() / (3 * WIDTH);
    // Views: `[3 * 12, n, 32]`.
    let heads = Tensor::from_slice(
        query_key_value,
        (count, 3 * HEADS, HEAD_WIDTH),
        &Device::Cpu,
    )?
    .transpose(0, 1)?;
    let queries = heads.narrow(0, 0, HEADS)?;
    let keys = heads.narrow(0, HEADS, HEADS)?;
    let values = heads.narrow(0, 2 * HEADS, HEADS)?;
    let scores = queries.matmul(&keys.t()?)?; // [12, n, n]
    scores.inplace_op1(&Softmax)?;
    scores
        .matmul(&values)?
        .transpose(0, 1)?
        .flatten_all()?
        .to_vec1()
}
