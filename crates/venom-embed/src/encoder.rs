//! The forward pass of the BERT encoder: token ids to one vector per text.
//!
//! Devlin et al., "BERT", 2018 (arXiv 1810.04805), in the shape of MiniLM-L6-H384 (Wang et al., 2020,
//! arXiv 2002.10957). The texts of a batch are laid row below row without padding: `[rows, 384]` with
//! one row per token. What is done per token runs over all rows at once; attention runs per text. So
//! a text's vector does not depend on its neighbours, and no arithmetic is spent on padding.

use crate::kernels::{self, AddBias, AddBiasGelu, AddNorm, Softmax};
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

/// One layer. Matrices are `[in, out]`, the transpose of the file's: products are then up to a fifth
/// faster, as nothing has to be packed.
struct Layer {
    /// Query, key and value side by side: `[384, 3 * 384]`.
    query_key_value: Tensor,
    query_key_value_bias: AddBias,
    /// `[384, 384]`.
    attended: Tensor,
    attended_norm: AddNorm,
    /// `[384, 1536]`.
    widen: Tensor,
    widen_gelu: AddBiasGelu,
    /// `[1536, 384]`.
    narrow: Tensor,
    narrow_norm: AddNorm,
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
        let row_count = rows.len() / WIDTH;
        let mut states = Tensor::from_vec(rows, (row_count, WIDTH), &Device::Cpu)?;
        for layer in &self.layers {
            states = layer.forward(&states, &spans)?;
        }
        let rows = states.flatten_all()?.to_vec1::<f32>()?;
        let mean = |span: Range<usize>| {
            kernels::mean_of_rows(&rows[span.start * WIDTH..span.end * WIDTH], WIDTH)
        };
        Ok(spans.into_iter().map(mean).collect())
    }

    /// Appends the sum of word, position and type for each token.
    fn look_up(&self, ids: &[u32], rows: &mut Vec<f32>) -> Result<()> {
        if ids.is_empty() || ids.len() * WIDTH > self.position_rows.len() {
            candle_core::bail!("a text of {} tokens does not fit the window", ids.len());
        }
        for (id, position) in ids.iter().zip(self.position_rows.chunks_exact(WIDTH)) {
            let start = *id as usize * WIDTH;
            let Some(word) = self.word_rows.get(start..start + WIDTH) else {
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
        let mut matrix = |name: &str, shape: (usize, usize)| {
            Tensor::from_vec(part(name, shape.0 * shape.1)?, shape, &Device::Cpu)?
                .t()?
                .contiguous()
        };
        let attended = matrix("attention.output.dense.weight", (WIDTH, WIDTH))?;
        let widen = matrix("intermediate.dense.weight", (INNER_WIDTH, WIDTH))?;
        let narrow = matrix("output.dense.weight", (WIDTH, INNER_WIDTH))?;
        let mut norm = |name: &str| -> Result<AddNorm> {
            Ok(AddNorm {
                bias: part(&format!("{name}.dense.bias"), WIDTH)?,
                gain: part(&format!("{name}.LayerNorm.weight"), WIDTH)?,
                shift: part(&format!("{name}.LayerNorm.bias"), WIDTH)?,
            })
        };
        let (attended_norm, narrow_norm) = (norm("attention.output")?, norm("output")?);
        Ok(Self {
            query_key_value: Tensor::from_vec(weights, (3 * WIDTH, WIDTH), &Device::Cpu)?
                .t()?
                .contiguous()?,
            query_key_value_bias: AddBias(bias),
            attended,
            attended_norm,
            widen,
            widen_gelu: AddBiasGelu(part("intermediate.dense.bias", INNER_WIDTH)?),
            narrow,
            narrow_norm,
        })
    }

    /// `[rows, 384]` to `[rows, 384]`.
    fn forward(&self, states: &Tensor, spans: &[Range<usize>]) -> Result<Tensor> {
        let query_key_value = states.matmul(&self.query_key_value)?;
        query_key_value.inplace_op1(&self.query_key_value_bias)?;
        let contexts = spans
            .iter()
            .map(|span| attend(&query_key_value.narrow(0, span.start, span.len())?))
            .collect::<Result<Vec<_>>>()?;
        let attended = Tensor::cat(&contexts, 0)?.matmul(&self.attended)?;
        attended.inplace_op2(states, &self.attended_norm)?;

        let wide = attended.matmul(&self.widen)?;
        wide.inplace_op1(&self.widen_gelu)?;
        let output = wide.matmul(&self.narrow)?;
        output.inplace_op2(&attended, &self.narrow_norm)?;
        Ok(output)
    }
}

/// Attention within one text: `[n, 3 * 384]` queries, keys and values to `[n, 384]`.
fn attend(query_key_value: &Tensor) -> Result<Tensor> {
    let count = query_key_value.dim(0)?;
    // Views, nothing is copied: `[3 * 12, n, 32]`.
    let heads = query_key_value
        .reshape((count, 3 * HEADS, HEAD_WIDTH))?
        .transpose(0, 1)?;
    let queries = heads.narrow(0, 0, HEADS)?;
    let keys = heads.narrow(0, HEADS, HEADS)?;
    let values = heads.narrow(0, 2 * HEADS, HEADS)?;
    let scores = queries.matmul(&keys.t()?)?; // [12, n, n]
    scores.inplace_op1(&Softmax)?;
    scores
        .matmul(&values)?
        .transpose(0, 1)?
        .reshape((count, WIDTH))
}
