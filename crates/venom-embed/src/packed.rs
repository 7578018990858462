//! A model in one file, as it is run in int8: read once, checked, used where it lies.
//!
//! ```text
//!   0  magic "VENOM-E8"       8 bytes
//!   8  version of the format  u32
//!  12  CRC-32 of all bytes from 16 on
//!  16  width, heads, inner width, layers, words, tokens_max, bytes of the vocabulary: u32 each
//!  44  pooling u32: 0 the mean of the tokens, 1 the first token
//!  48  name of the model      48 bytes, zeros behind it
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
//!
//! The checksum finds damage: torn writes, bad disks, half a copy. It takes 2 ms at each start, where SHA-256
//! took 20 to 40; against somebody who may write the file neither helps, as both stand in it.

use crate::bytes::{Bytes, LINE_BYTES, Shared};
use crate::encoder::{Layer, Linear, Matrix, Norm, Table, Weights};
use crate::int8_matrix::Int8Matrix;
use crate::model_files::{Model, WEIGHTS_FILE};
use crate::shape::{Pooling, Shape};
use crate::weights::hex;
use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::path::Path;

/// The name of the file in a model's folder.
pub const PACKED_FILE: &str = "model.packed";

const MAGIC: &[u8; 8] = b"VENOM-E8";
/// The version of the format. A new one when a program would misread the file of another, and when weights are
/// quantised otherwise than before.
const VERSION: u32 = 2;
const HEADER_BYTES: usize = 128;
/// Where the checksum stands; it is that of all bytes behind it.
const CHECKSUM: Range<usize> = 12..16;
/// Where the name stands.
const NAME: Range<usize> = 48..96;
/// Files beyond this are none of ours, in bytes.
pub(crate) const BYTES_MAX: u64 = 256 << 20;

/// A model that was read.
pub(crate) struct Packed {
    pub(crate) model: Model,
    pub(crate) vocabulary: String,
    pub(crate) weights: Weights,
}

/// A model as a file, made from weights of this hash. The same for the same weights on every machine.
pub(crate) fn write(model: &Model, sha256: &str, vocabulary: &str, weights: &Weights) -> Vec<u8> {
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
        shape.width,
        shape.heads,
        shape.inner_width,
        shape.layers,
        words,
        model.tokens_max,
        vocabulary.len(),
        match model.pooling {
            Pooling::Mean => 0,
            Pooling::FirstToken => 1,
        },
    ];
    let numbers = numbers.map(|n| {
        u32::try_from(n)
            .expect("measures of a model fit")
            .to_le_bytes()
    });
    out[CHECKSUM.end..][..4 * numbers.len()].copy_from_slice(numbers.as_flattened());
    let name = &model.name.as_bytes()[..model.name.len().min(NAME.len())];
    out[NAME][..name.len()].copy_from_slice(name);
    out[NAME.end..HEADER_BYTES].copy_from_slice(&bytes_of_hex(sha256));
    out[..8].copy_from_slice(MAGIC);
    out[8..12].copy_from_slice(&VERSION.to_le_bytes());
    let checksum = crc32fast::hash(&out[CHECKSUM.end..]);
    out[CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
    out
}

/// Whether a folder has a packed model to open: one of this version, or any if the weights are not there,
/// for then its error is the one to tell.
pub(crate) fn is_usable(folder: &Path) -> bool {
    let mut start = [0; CHECKSUM.start];
    let file = File::open(folder.join(PACKED_FILE));
    let is_current = file
        .and_then(|mut file| file.read_exact(&mut start))
        .is_ok_and(|()| check_version(&start).is_ok());
    is_current || !folder.join(WEIGHTS_FILE).is_file()
}

/// Whether a file begins as one of this version.
///
/// # Errors
/// What was found instead, for a sentence that ends with it.
pub(crate) fn check_version(bytes: &[u8]) -> Result<(), String> {
    let Some((magic, version)) = bytes.split_first_chunk() else {
        return Err("fewer bytes than a header has".to_owned());
    };
    let version = version.first_chunk().map(|four| u32::from_le_bytes(*four));
    match version {
        _ if magic != MAGIC => Err("no packed model".to_owned()),
        Some(VERSION) => Ok(()),
        Some(other) => Err(format!("version {other} of the format, expected {VERSION}")),
        None => Err("fewer bytes than a header has".to_owned()),
    }
}

/// The checksum of a file on its way: blocks one after the other, the first with all of the header.
#[derive(Default)]
pub(crate) struct Checksum {
    of_header: Option<[u8; 4]>,
    found: crc32fast::Hasher,
}

impl Checksum {
    pub(crate) fn update(&mut self, block: &[u8]) {
        let checked = match self.of_header {
            Some(_) => block,
            None => block.get(CHECKSUM.end..).unwrap_or_default(),
        };
        let in_header = block.get(CHECKSUM).and_then(|four| four.try_into().ok());
        self.of_header = self.of_header.or(in_header);
        self.found.update(checked);
    }

    /// Compares it with the one in the header.
    ///
    /// # Errors
    /// What was found instead, for a sentence that ends with it.
    pub(crate) fn compare(self) -> Result<(), String> {
        if self.of_header == Some(self.found.finalize().to_le_bytes()) {
            return Ok(());
        }
        Err("bytes that do not have the checksum in its header".to_owned())
    }
}

/// What the header of a file says of its model, unchecked; `None` if it is no packed model of this version.
pub(crate) fn describe(file: &Path) -> Option<Model> {
    let mut header = [0; HEADER_BYTES];
    File::open(file).ok()?.read_exact(&mut header).ok()?;
    let (model, _) = model_of(&header).ok()?;
    Some(model)
}

/// The model of a header; words and bytes of the vocabulary.
fn model_of(header: &[u8; HEADER_BYTES]) -> Result<(Model, [usize; 2]), String> {
    check_version(header)?;
    let (numbers, _) = header[CHECKSUM.end..].as_chunks();
    let number = |at: usize| usize::try_from(u32::from_le_bytes(numbers[at])).unwrap_or(usize::MAX);
    let shape = Shape {
        width: number(0),
        heads: number(1),
        inner_width: number(2),
        layers: number(3),
    };
    shape.check()?;
    let name = header[NAME]
        .split(|byte| *byte == 0)
        .next()
        .unwrap_or_default();
    let model = Model {
        name: String::from_utf8_lossy(name).into_owned(),
        shape,
        tokens_max: number(5),
        pooling: match number(7) {
            0 => Pooling::Mean,
            1 => Pooling::FirstToken,
            other => return Err(format!("pooling {other}, expected 0 or 1")),
        },
        sha256: Some(hex(&header[NAME.end..])),
        known: None,
    };
    Ok((model, [number(4), number(6)]))
}

/// Reads a file. Its bytes are checked elsewhere.
///
/// # Errors
/// What was found instead, for a sentence that ends with it.
pub(crate) fn read(bytes: &Bytes) -> Result<Packed, String> {
    let all = bytes.as_slice();
    let header = all.first_chunk().ok_or("fewer bytes than a header has")?;
    let (model, [words, vocabulary_bytes]) = model_of(header)?;
    let Model {
        shape, tokens_max, ..
    } = model;
    let mut parts = Parts {
        bytes,
        next: HEADER_BYTES,
    };
    let vocabulary = parts.take(vocabulary_bytes)?.as_slice().to_vec();
    let vocabulary = String::from_utf8(vocabulary).map_err(|_| "a vocabulary that is not UTF-8")?;
    let rows = parts.take(words.saturating_mul(shape.width))?;
    let weights = Weights {
        words: Table::Bytes(rows, parts.floats(words)?),
        position_rows: parts.floats(tokens_max.saturating_mul(shape.width))?,
        norm: parts.norm(shape)?,
        layers: (0..shape.layers)
            .map(|_| parts.layer(shape))
            .collect::<Result<_, _>>()?,
    };
    if parts.next != all.len() {
        return Err("bytes behind its end".to_owned());
    }
    Ok(Packed {
        model,
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

/// A digest from its 64 hex digits.
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

#[cfg(test)]
mod tests {
    use super::*;
    use venom_fuzz::Target;

    /// A model of zeros: as small as shapes may be.
    fn zeros(vocabulary: &str) -> Vec<u8> {
        let shape = crate::shape::MINILM_L6;
        let words = vocabulary.lines().count();
        let norm = || Norm {
            gain: vec![1.0; shape.width],
            shift: vec![0.0; shape.width],
        };
        let linear = |inputs: usize, outputs: usize| Linear {
            matrix: Matrix::Int8(Int8Matrix::new(
                Shared::copy(&vec![0; inputs * outputs]),
                vec![1.0; outputs],
                vec![0; outputs],
                inputs,
            )),
            bias: vec![0.0; outputs],
        };
        let layer = |_| Layer {
            query_key_value: linear(shape.width, 3 * shape.width),
            attended: linear(shape.width, shape.width),
            widen: linear(shape.width, shape.inner_width),
            narrow: linear(shape.inner_width, shape.width),
            attended_norm: norm(),
            narrow_norm: norm(),
        };
        let weights = Weights {
            words: Table::Bytes(
                Shared::copy(&vec![1; words * shape.width]),
                vec![1.0; words],
            ),
            position_rows: vec![0.0; 16 * shape.width],
            norm: norm(),
            layers: (0..shape.layers).map(layer).collect(),
        };
        let model = Model {
            name: "zeros".to_owned(),
            shape,
            tokens_max: 16,
            pooling: Pooling::Mean,
            sha256: None,
            known: None,
        };
        write(&model, &"ab".repeat(32), vocabulary, &weights)
    }

    /// The beginning of a file is the input; what follows is that of a whole one, if the header is for one of its make.
    #[test]
    fn fuzz_packed_models() {
        const BEGINNING: usize = 256;
        let whole = zeros("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##b\n");
        let target = Target::new("packed-models").words(&["VENOM-E8", "\n", "[CLS]\n"]);
        let target = target.seed(&whole[..BEGINNING]).memory_max(1 << 30);
        target.run(|input| {
            let header = input.first_chunk();
            let model = header.and_then(|header| Some(model_of(header).ok()?.0));
            let is_of_this_make = model.is_some_and(|model| model.shape == crate::shape::MINILM_L6);
            let rest = whole.get(input.len()..).filter(|_| is_of_this_make);
            let file = [input, rest.unwrap_or_default()].concat();
            let mut checksum = Checksum::default();
            file.chunks(100_000)
                .for_each(|block| checksum.update(block));
            let _ = (check_version(&file), checksum.compare());
            let bytes = Bytes::filled(file.len(), |room| {
                room.copy_from_slice(&file);
                Ok::<(), String>(())
            });
            let packed = read(&bytes.expect("bytes are copied")).ok()?;
            let tokenizer = crate::tokenizer::Tokenizer::new(packed.vocabulary);
            let parts = (packed.model.shape, packed.model.pooling);
            let kernel = crate::Options::default()
                .kernel()
                .expect("there is a best one");
            let encoder = crate::encoder::Encoder::new(parts, packed.weights, kernel);
            let ids = tokenizer.map(|it| it.window("ab a", packed.model.tokens_max));
            let vectors = ids.map(|ids| encoder.forward(&[&ids], 1));
            Some((vectors.is_ok(), packed.model.tokens_max.min(20)))
        });
    }
}
