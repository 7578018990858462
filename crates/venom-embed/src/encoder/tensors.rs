//! From the tensors of a model's file to an encoder's weights.

use super::{Layer, Linear, Matrix, Norm, Table, Weights};
use crate::Precision;
use crate::float_matrix::FloatMatrix;
use crate::int8_matrix::Int8Matrix;
use crate::shape::Shape;
use crate::weights;

/// Takes the tensors that an encoder needs out of `tensors`, the first `tokens_max` positions among them.
///
/// # Errors
/// If one is missing or of another size.
pub(crate) fn from_weights(
    mut tensors: weights::Weights,
    shape: Shape,
    tokens_max: usize,
    precision: Precision,
) -> Result<Weights, String> {
    let width = shape.width;
    let mut take = |name: &str, size: Option<usize>| match tensors.remove(name) {
        Some(values) if size.is_none_or(|size| size == values.len()) => Ok(values),
        Some(values) => Err(format!("{name}: expected {size:?}, found {}", values.len())),
        None => Err(format!("{name} is missing")),
    };
    let mut position_rows = take("embeddings.position_embeddings.weight", None)?;
    position_rows.truncate(tokens_max * width);
    let types = take("embeddings.token_type_embeddings.weight", Some(2 * width))?;
    for row in position_rows.chunks_exact_mut(width) {
        row.iter_mut().zip(&types).for_each(|(x, y)| *x += y);
    }
    let words = take("embeddings.word_embeddings.weight", None)?;
    Ok(Weights {
        words: match precision {
            Precision::Float32 => Table::Floats(words),
            Precision::Int8 => Table::quantise(&words, width),
        },
        position_rows,
        norm: Norm {
            gain: take("embeddings.LayerNorm.weight", Some(width))?,
            shift: take("embeddings.LayerNorm.bias", Some(width))?,
        },
        layers: (0..shape.layers)
            .map(|index| layer(index, shape, precision, &mut take))
            .collect::<Result<_, _>>()?,
    })
}

fn layer(
    index: usize,
    shape: Shape,
    precision: Precision,
    take: &mut impl FnMut(&str, Option<usize>) -> Result<Vec<f32>, String>,
) -> Result<Layer, String> {
    let (width, inner_width) = (shape.width, shape.inner_width);
    let mut part =
        |name: &str, size: usize| take(&format!("encoder.layer.{index}.{name}"), Some(size));
    // Attention divides its scores by the root of the head's width. Doing that to the queries' weights
    // once is the same.
    let scale = 1.0 / (shape.head_width() as f32).sqrt();
    let mut weights = part("attention.self.query.weight", width * width)?;
    let mut bias = part("attention.self.query.bias", width)?;
    let of_queries = weights.iter_mut().chain(&mut bias);
    of_queries.for_each(|x| *x *= scale);
    for name in ["key", "value"] {
        weights.extend(part(
            &format!("attention.self.{name}.weight"),
            width * width,
        )?);
        bias.extend(part(&format!("attention.self.{name}.bias"), width)?);
    }
    let linear = |weights: &[f32], bias: Vec<f32>, inputs: usize| Linear {
        matrix: match precision {
            Precision::Float32 => {
                Matrix::Float(FloatMatrix::transposed(weights, bias.len(), inputs))
            }
            Precision::Int8 => Matrix::Int8(Int8Matrix::quantise(weights, inputs)),
        },
        bias,
    };
    let query_key_value = linear(&weights, bias, width);
    let mut named = |name: &str, outputs: usize, inputs: usize| -> Result<Linear, String> {
        let weights = part(&format!("{name}.weight"), outputs * inputs)?;
        Ok(linear(
            &weights,
            part(&format!("{name}.bias"), outputs)?,
            inputs,
        ))
    };
    let attended = named("attention.output.dense", width, width)?;
    let widen = named("intermediate.dense", inner_width, width)?;
    let narrow = named("output.dense", width, inner_width)?;
    let mut norm = |name: &str| -> Result<Norm, String> {
        Ok(Norm {
            gain: part(&format!("{name}.LayerNorm.weight"), width)?,
            shift: part(&format!("{name}.LayerNorm.bias"), width)?,
        })
    };
    Ok(Layer {
        query_key_value,
        attended,
        attended_norm: norm("attention.output")?,
        widen,
        narrow,
        narrow_norm: norm("output")?,
    })
}
