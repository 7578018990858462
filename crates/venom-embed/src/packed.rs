//! A model in one file, as it is run in int8: read once, checked, used where it lies.
//!
//! ```text
//!   0  magic "VENOM-E8"       8 bytes
//!   8  version of the format  u32     then width, heads, inner width, layers, words, tokens_max: u32 each
//!  36  bytes of the vocabulary  u32
//!  40  name of the model      24 bytes, zeros behind it
//!  64  SHA-256 of all other bytes
//!  96  SHA-256 of the weights that it was made from
//! 128  the vocabulary, one token a line
//!      words: i8 [words, width], their scales f32 [words]
//!      positions: f32 [tokens_max, width]
//!      layer norm: gain and shift, f32 [width] each
//!      each layer: query-key-value, attended, widen, narrow, each with
//!          panels as the kernels read them, scales f32, totals i32, bias f32 [outputs]
//!      and two layer norms, behind attention and at the end
//! ```
//!
//! All numbers are little-endian. Every part begins at a multiple of 64 bytes.

use crate::bytes::{Bytes, LINE_BYTES, Shared};
use crate::encoder::{Layer, Linear, Matrix, Norm, Table, Weights};
use crate::int8_matrix::Int8Matrix;
use crate::model_files::KnownModel;
use crate::shape::Shape;
use crate::weights::digest;
use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::path::Path;

/// The name of the file in a model's folder.
pub const PACKED_FILE: &str = "model.packed";

const MAGIC: &[u8; 8] = b"VENOM-E8";
/// The version of the format. A new one when a program would misread the file of another, and when weights are
/// quantised otherwise than before.
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 128;
/// Where the hash stands.
const HASH: Range<usize> = 64..96;
const NAME_BYTES: usize = 24;
/// Files beyond this are none of ours, in bytes.
pub(crate) const BYTES_MAX: u64 = 256 << 20;

/// A model that was read.
pub(crate) struct Packed {
    pub(crate) vocabulary: String,
    pub(crate) weights: Weights,
}

/// A model as a file. The same for the same weights on every machine.
pub(crate) fn write(model: &KnownModel, vocabulary: &str, weights: &Weights) -> Vec<u8> {
    let mut out = vec![0; HEADER_BYTES];
    put(&mut out, vocabulary.as_bytes());
    if let Table::Bytes(rows, scales) = &weights.words {
        put(&mut out, rows.as_slice());
        put_floats(&mut out, scales);
    }
    put_floats(&mut out, &weights.position_rows);
    put_norm(&mut out, &weights.norm);
    for layer in &weights.layers {
        for linear in [
            &layer.query_key_value,
            &layer.attended,
            &layer.widen,
            &layer.narrow,
        ] {
            if let Matrix::Int8(matrix) = &linear.matrix {
                put(&mut out, matrix.panels());
                put_floats(&mut out, matrix.scales());
                let totals: Vec<[u8; 4]> =
                    matrix.totals().iter().map(|n| n.to_le_bytes()).collect();
                put(&mut out, totals.as_flattened());
            }
            put_floats(&mut out, &linear.bias);
        }
        put_norm(&mut out, &layer.attended_norm);
        put_norm(&mut out, &layer.narrow_norm);
    }
    let words = match &weights.words {
        Table::Floats(_) => 0,
        Table::Bytes(_, scales) => scales.len(),
    };
    let shape = model.shape;
    let numbers = [
        VERSION as usize,
        shape.width,
        shape.heads,
        shape.inner_width,
        shape.layers,
        words,
        model.tokens_max,
        vocabulary.len(),
    ];
    let numbers = numbers.map(|n| {
        u32::try_from(n)
            .expect("measures of a model fit")
            .to_le_bytes()
    });
    out[..8].copy_from_slice(MAGIC);
    out[8..40].copy_from_slice(numbers.as_flattened());
    let name = model.name.as_bytes();
    out[40..40 + name.len().min(NAME_BYTES)].copy_from_slice(&name[..name.len().min(NAME_BYTES)]);
    out[HASH.end..HEADER_BYTES].copy_from_slice(&bytes_of_hex(model.weights.sha256));
    let hash = digest([&out[..HASH.start], &out[HASH.end..]]);
    out[HASH].copy_from_slice(&hash);
    out
}

/// Whether a folder has a packed model to open: one of this version, or any if the weights are not there,
/// for then its error is the one to tell.
pub(crate) fn is_usable(folder: &Path, model: &KnownModel) -> bool {
    let mut start = [0; 12];
    let file = File::open(folder.join(PACKED_FILE));
    let is_current = file
        .and_then(|mut file| file.read_exact(&mut start))
        .is_ok_and(|()| start[..8] == *MAGIC && start[8..] == VERSION.to_le_bytes());
    is_current || !folder.join(model.weights.name).is_file()
}

/// Hashes a file and compares.
///
/// # Errors
/// What was found instead, for a sentence that ends with it.
pub(crate) fn check(bytes: &Bytes) -> Result<(), String> {
    let all = bytes.as_slice();
    let expected = all.get(HASH).ok_or("fewer bytes than a header has")?;
    if *expected != digest([&all[..HASH.start], &all[HASH.end..]]) {
        return Err("bytes that do not have the hash in its header".to_owned());
    }
    Ok(())
}

/// Reads a file that was made from the weights of `model`. Its bytes are checked elsewhere.
///
/// # Errors
/// What was found instead, for a sentence that ends with it.
pub(crate) fn read(bytes: &Bytes, model: &KnownModel) -> Result<Packed, String> {
    let all = bytes.as_slice();
    let header = all
        .get(..HEADER_BYTES)
        .ok_or("fewer bytes than a header has")?;
    if header[..8] != *MAGIC {
        return Err("no packed model".to_owned());
    }
    let number = |at: usize| {
        let number = header[at..]
            .first_chunk()
            .map_or(0, |four| u32::from_le_bytes(*four));
        usize::try_from(number).unwrap_or(usize::MAX)
    };
    if number(8) != VERSION as usize {
        return Err(format!(
            "version {} of the format, expected {VERSION}",
            number(8)
        ));
    }
    let shape = Shape {
        width: number(12),
        heads: number(16),
        inner_width: number(20),
        layers: number(24),
    };
    if header[HASH.end..] != bytes_of_hex(model.weights.sha256)
        || shape != model.shape
        || number(32) != model.tokens_max
    {
        return Err("another model".to_owned());
    }
    let mut parts = Parts {
        bytes,
        next: HEADER_BYTES,
    };
    let vocabulary = parts.take(number(36))?.as_slice().to_vec();
    let vocabulary = String::from_utf8(vocabulary).map_err(|_| "a vocabulary that is not UTF-8")?;
    let words = number(28);
    let rows = parts.take(words * shape.width)?;
    let weights = Weights {
        words: Table::Bytes(rows, parts.floats(words)?),
        position_rows: parts.floats(number(32) * shape.width)?,
        norm: parts.norm(shape)?,
        layers: (0..shape.layers)
            .map(|_| parts.layer(shape))
            .collect::<Result<_, _>>()?,
    };
    if parts.next != all.len() {
        return Err("bytes behind its end".to_owned());
    }
    Ok(Packed {
        vocabulary,
        weights,
    })
}

/// The parts of a file, one after the other.
struct Parts<'a> {
    bytes: &'a Bytes,
    next: usize,
}

impl Parts<'_> {
    fn take(&mut self, count: usize) -> Result<Shared, String> {
        let part = Shared::new(self.bytes, self.next..self.next.saturating_add(count));
        self.next = self.next.saturating_add(count).next_multiple_of(LINE_BYTES);
        part.ok_or_else(|| "fewer bytes than its header says".to_owned())
    }

    fn floats(&mut self, count: usize) -> Result<Vec<f32>, String> {
        let part = self.take(count.saturating_mul(4))?;
        let (fours, _) = part.as_slice().as_chunks();
        Ok(fours.iter().map(|four| f32::from_le_bytes(*four)).collect())
    }

    fn integers(&mut self, count: usize) -> Result<Vec<i32>, String> {
        let part = self.take(count.saturating_mul(4))?;
        let (fours, _) = part.as_slice().as_chunks();
        Ok(fours.iter().map(|four| i32::from_le_bytes(*four)).collect())
    }

    fn norm(&mut self, shape: Shape) -> Result<Norm, String> {
        Ok(Norm {
            gain: self.floats(shape.width)?,
            shift: self.floats(shape.width)?,
        })
    }

    fn linear(&mut self, inputs: usize, outputs: usize) -> Result<Linear, String> {
        let panels = self.take(inputs * outputs)?;
        let (scales, totals) = (self.floats(outputs)?, self.integers(outputs)?);
        Ok(Linear {
            matrix: Matrix::Int8(Int8Matrix::new(panels, scales, totals, inputs)),
            bias: self.floats(outputs)?,
        })
    }

    fn layer(&mut self, shape: Shape) -> Result<Layer, String> {
        let (width, inner_width) = (shape.width, shape.inner_width);
        Ok(Layer {
            query_key_value: self.linear(width, 3 * width)?,
            attended: self.linear(width, width)?,
            widen: self.linear(width, inner_width)?,
            narrow: self.linear(inner_width, width)?,
            attended_norm: self.norm(shape)?,
            narrow_norm: self.norm(shape)?,
        })
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(LINE_BYTES), 0);
}

fn put_floats(out: &mut Vec<u8>, floats: &[f32]) {
    let bytes: Vec<[u8; 4]> = floats.iter().map(|x| x.to_le_bytes()).collect();
    put(out, bytes.as_flattened());
}

fn put_norm(out: &mut Vec<u8>, norm: &Norm) {
    put_floats(out, &norm.gain);
    put_floats(out, &norm.shift);
}

/// A digest from its 64 hex digits, which are those of a known file.
fn bytes_of_hex(hex: &str) -> [u8; 32] {
    let digit = |at: usize| {
        let digit = hex
            .as_bytes()
            .get(at)
            .and_then(|byte| char::from(*byte).to_digit(16));
        u8::try_from(digit.unwrap_or(0)).unwrap_or(0)
    };
    std::array::from_fn(|at| digit(2 * at) << 4 | digit(2 * at + 1))
}
